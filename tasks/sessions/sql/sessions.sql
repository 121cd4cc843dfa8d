-- The sessions that start on one local day.
-- grain: session (user_id, session_id)
-- reads: found
-- parameters: $day
select
    session_id,
    user_id,
    started_at,
    ended_at,
    items,
    times,
    session_day
from found
where session_day = $day
order by user_id, started_at, session_id
