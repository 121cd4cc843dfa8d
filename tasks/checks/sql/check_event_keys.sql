-- check: an event stands in the table once.
-- guards against: a day that was written twice
-- severity: refuse
-- remedy: run the night again; where it comes back, keep the warehouse as it is and report a fault
-- reads: events
select
    event_day,
    count(*) as events,
    count(*) - count(distinct event_id) as repeated
from events
group by event_day
having count(*) > count(distinct event_id)
