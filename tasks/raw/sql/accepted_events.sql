-- The events of a piece that lie in the window.
-- grain: line
-- reads: piece
-- parameters: $source_file, $first_day, $last_day
select
    cast($source_file as varchar) as source_file,
    user_id,
    item_id,
    event_time,
    session_id,
    event_day
from piece
where reason is null and event_day between $first_day and $last_day
