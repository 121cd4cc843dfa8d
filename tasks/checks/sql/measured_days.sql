-- What each day of lead-in and window is like, in numbers that any day can be asked.
-- grain: day, measure
-- reads: events, sessions
select
    event_day as day,
    'events' as measure,
    cast(count(*) as double) as value
from events
group by event_day
union all
select
    session_day as day,
    'session_length' as measure,
    avg(len(items)) as value
from sessions
group by session_day
