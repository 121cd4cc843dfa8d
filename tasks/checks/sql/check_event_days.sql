-- check: an event lies in the day that its time belongs to, and has a user or session, an item and a time.
-- guards against: a zone's rules that changed under a warehouse; files put into a table by hand
-- severity: refuse
-- remedy: see that nobody writes into tables/ by hand, then run the night again
-- reads: events, clock
select
    events.event_day,
    count(*) as events
from events
left join clock on events.event_time >= clock.since and events.event_time < clock.until
where
    cast(events.event_time + clock.ahead as date) is distinct from events.event_day
    or events.item_id is null
    or coalesce(cast(events.user_id as varchar), events.session_id) is null
group by events.event_day
