-- How many users came before the window's last day, and of these again on a later day.
-- grain: one row
-- reads: found
-- parameters: $first_day, $last_day of the window
with days as (
    select
        user_id,
        min(session_day) as first_day,
        max(session_day) as last_day
    from found
    where user_id is not null and session_day >= $first_day
    group by user_id
)

select
    count(*) as came,
    count(*) filter (where last_day > first_day) as came_again
from days
where first_day < $last_day
