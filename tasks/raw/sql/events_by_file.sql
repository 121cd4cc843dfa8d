-- How many of these events came from each raw file.
-- grain: source_file
-- reads: written
-- parameters: none
select
    source_file,
    count(*) as events
from written
group by source_file
