-- The local days of a piece's good events, and the first and last time of each.
-- grain: day
-- reads: piece
-- parameters: none
select
    event_day,
    count(*) as events,
    min(event_time) as first_time,
    max(event_time) as last_time
from piece
where reason is null and left_out is null
group by event_day
order by event_day
