-- The first good events of a piece, as they would be kept.
-- grain: line
-- reads: piece
-- parameters: $rows
select
    user_id,
    item_id,
    event_time,
    event_day,
    session_id
from piece
where reason is null and left_out is null
order by line
limit $rows
