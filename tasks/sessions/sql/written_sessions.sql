-- The sessions that start in the window and are long enough to learn from.
-- grain: session (user_id, session_id)
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
