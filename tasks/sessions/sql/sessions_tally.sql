-- How many sessions of the window, events in them, and users were found.
-- grain: one row
-- reads: found
-- parameters: $first_day
select
    count(*) as sessions,
    coalesce(sum(len(items)), 0) as events,
    count(distinct user_id) as users
from found
where session_day >= $first_day
