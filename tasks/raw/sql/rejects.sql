-- The refused lines of one night.
-- grain: refused line
-- reads: refused
-- parameters: $night
select
    source_file,
    line,
    reason,
    raw,
    cast($night as date) as night
from refused
order by source_file, line
