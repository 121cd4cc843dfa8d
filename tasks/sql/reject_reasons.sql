-- Why lines were refused, most frequent reason first, with the first such line.
-- grain: reason
-- reads: refused
-- parameters: none
select
    reason,
    count(*) as lines,
    arg_min(source_file || ' line ' || line, (source_file, line)) as example
from refused
group by reason
order by lines desc, reason asc
