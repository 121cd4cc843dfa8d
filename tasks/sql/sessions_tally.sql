-- How many sessions, events in them, and users were found.
-- grain: one row
-- reads: found
-- parameters: none
select
    count(*) as sessions,
    coalesce(sum(len(items)), 0) as events,
    count(distinct user_id) as users
from found
