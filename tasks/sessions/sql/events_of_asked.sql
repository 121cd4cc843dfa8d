-- All events of the users whose sessions are asked about.
-- grain: event
-- reads: read_events, asked_sessions (user_id)
-- parameters: none
select
    user_id,
    item_id,
    event_time,
    place,
    session_id
from read_events
where user_id in (select asked_sessions.user_id from asked_sessions)
