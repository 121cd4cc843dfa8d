-- Sessions as they were cut, those too that the table of sessions leaves out.
-- grain: session (user_id, session_id, started_at)
-- reads: cut_sessions
-- parameters: none
select
    session_id,
    session_day,
    given_id,
    started_at,
    ended_at,
    items,
    is_crowded
from cut_sessions
