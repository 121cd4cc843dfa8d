-- The events of a piece that the night takes, repetitions too. `mark` is the md5 of the id that a line
-- gives its event.
-- grain: line
-- reads: piece
-- parameters: $source_file
select
    cast($source_file as varchar) as source_file,
    line,
    user_id,
    item_id,
    event_time,
    session_id,
    tie_break,
    event_type,
    md5(event_id) as mark,
    weight,
    event_day
from piece
where part = 'accepted'
