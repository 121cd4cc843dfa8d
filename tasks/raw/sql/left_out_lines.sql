-- Why lines of a piece do not count, and how many.
-- grain: cause
-- reads: piece
-- parameters: none
select
    left_out as cause,
    count(*) as lines
from piece
where left_out is not null and reason is null
group by left_out
order by left_out
