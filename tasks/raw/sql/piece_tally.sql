-- What became of the lines of a piece.
-- grain: one row
-- reads: piece
-- parameters: $first_day, $last_day
select
    count(*) as lines,
    count(*) filter (where reason is not null) as rejected,
    count(*) filter (
        where reason is null and (event_day is null or event_day not between $first_day and $last_day)
    ) as outside,
    count(*) filter (where reason is not null and reason <> 'blank line') as spoilt,
    min(event_time) filter (where reason is null) as first_time,
    max(event_time) filter (where reason is null) as last_time
from piece
