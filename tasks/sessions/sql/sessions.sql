-- The sessions that start on one local day and are long enough to learn from.
-- grain: session (user_id, session_id)
-- reads: found
-- parameters: $day, $min_length
select
    session_id,
    user_id,
    started_at,
    ended_at,
    items,
    times,
    session_day
from found
where session_day = $day and len(items) >= $min_length
order by user_id, started_at, session_id
