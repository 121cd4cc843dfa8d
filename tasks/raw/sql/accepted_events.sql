-- The events of a piece that the night takes, repetitions too.
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
    weight,
    event_day
from piece
where part = 'accepted'
