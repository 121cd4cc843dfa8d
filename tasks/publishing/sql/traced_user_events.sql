-- All events of one user that a night has read, those of the lead-in too.
-- grain: event
-- reads: events
-- parameters: $asked
select
    event_id,
    user_id,
    item_id,
    event_time,
    place,
    session_id,
    source_file,
    line
from events
where user_id = $asked
order by event_time, place, event_id
