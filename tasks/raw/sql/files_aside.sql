-- Files that were put aside as a whole, and why.
-- grain: file
-- reads: rejects
-- parameters: none
select
    source_file,
    max(raw) as why
from rejects
where line is null
group by source_file
order by source_file
