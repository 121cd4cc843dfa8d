-- check: a session has as many items as [sessions] allows, and a time for each of them.
-- guards against: sessions of other settings than tonight's
-- severity: refuse
-- remedy: run the night again; where it comes back, keep the warehouse as it is and report a fault
-- reads: sessions
-- parameters: $min_length, $max_length
select
    session_day,
    count(*) as sessions,
    min(len(items)) as shortest,
    max(len(items)) as longest
from sessions
where len(items) < $min_length or len(items) > $max_length or len(items) <> len(times)
group by session_day
