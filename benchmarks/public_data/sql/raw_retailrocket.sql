-- Retailrocket: views; a visitor's history, to be cut by an inactivity gap.
-- grain: step
-- reads: raw
-- parameters: none
select
    visitorid as session_id,
    itemid as item_id,
    make_timestamp_ms(timestamp) as moment
from raw
where event = 'view'
