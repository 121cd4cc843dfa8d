-- Why lines of a piece would be refused.
-- grain: reason
-- reads: piece
-- parameters: none
select
    reason,
    count(*) as lines,
    arg_min(raw, line) as example
from piece
where reason is not null
group by reason
order by reason
