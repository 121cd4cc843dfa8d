-- What became of the lines of a piece, by day; `spoilt` are refused, and not because they are blank.
-- grain: part, event_day (null where lines have none)
-- reads: piece
-- parameters: none
select
    part,
    event_day,
    count(*) as lines,
    count(*) filter (where reason is not null and reason <> 'blank line') as spoilt,
    min(event_time) filter (where reason is null and left_out is null) as first_time,
    max(event_time) filter (where reason is null and left_out is null) as last_time
from piece
group by part, event_day
order by part, event_day
