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
where reason is null
order by line
limit $rows
