-- How often one item was met, by the raw file that says so.
-- grain: source file
-- reads: events
-- parameters: $asked
select
    source_file,
    count(*) as events,
    min(event_time) as first_at,
    max(event_time) as last_at
from events
where item_id = $asked
group by source_file
order by events desc, source_file asc
