-- The sessions that start on a day or later and are long enough to learn from, day by day.
-- grain: session (user_id, session_id, started_at)
-- reads: found
-- parameters: $first_day, $min_length
select
    session_id,
    user_id,
    started_at,
    ended_at,
    items,
    times,
    session_day
from found
where session_day >= $first_day and len(items) >= $min_length
order by session_day, user_id, started_at, session_id
