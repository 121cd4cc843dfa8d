-- Diginetica: item views; sessions are given. The time is the date plus milliseconds within the session.
-- grain: step
-- reads: raw
-- parameters: none
select
    sessionid as session_id,
    itemid as item_id,
    cast(eventdate as timestamp) + to_milliseconds(timeframe) as moment
from raw
