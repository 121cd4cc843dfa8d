-- How many of these events are kept under the name of each raw file.
-- grain: source_file, event_day
-- reads: written
-- parameters: none
select
    source_file,
    event_day,
    count(*) as events
from written
group by source_file, event_day
