-- REES46: views; a user's history, to be cut by an inactivity gap.
-- grain: step
-- reads: raw
-- parameters: none
select
    user_id as session_id,
    product_id as item_id,
    event_time as moment
from raw
where event_type = 'view'
