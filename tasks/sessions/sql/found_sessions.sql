-- Sessions of any length, without those of more events than visitors make.
-- grain: session (user_id, session_id, started_at)
-- reads: cut_sessions
-- parameters: none
select
    session_id,
    user_id,
    started_at,
    ended_at,
    items,
    times,
    session_day
from cut_sessions
where not is_crowded
