-- How many sessions of the window are long enough to learn from, events in them, and their users.
-- grain: one row
-- reads: found
-- parameters: $first_day, $min_length
select
    count(*) as sessions,
    coalesce(sum(len(items)), 0) as events,
    count(distinct user_id) as users
from found
where session_day >= $first_day and len(items) >= $min_length
