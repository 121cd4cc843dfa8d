-- Every session of the window, oldest first.
-- grain: session (user_id, session_id, started_at)
-- reads: window_sessions
-- parameters: $with_times
select
    session_id,
    user_id,
    started_at,
    items,
    case when $with_times then times end as times
from window_sessions
order by started_at, session_id, user_id
