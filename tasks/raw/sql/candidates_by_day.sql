-- The events that logs told, those of a day in a row.
-- grain: line
-- reads: candidates
-- parameters: none
select
    source_file,
    line,
    user_id,
    item_id,
    event_time,
    session_id,
    tie_break,
    event_type,
    mark,
    weight,
    event_day
from candidates
order by event_day
