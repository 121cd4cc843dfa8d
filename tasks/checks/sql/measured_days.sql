-- What each day of lead-in and window is like, in numbers that any day can be asked.
-- type <name>: the share of the day's events that are of it, of the 20 most frequent types; only of days that
-- have types.
-- grain: day, measure
-- reads: events, sessions
with counts as (
    select
        event_day,
        event_type,
        count(*) as events
    from events
    group by event_day, event_type
),

typed_days as (
    select
        event_day,
        sum(events) as events
    from counts
    group by event_day
    having bool_or(event_type is not null)
),

types as (
    select event_type
    from counts
    where event_type is not null
    group by event_type
    order by sum(events) desc, event_type
    limit 20
)

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
union all
select
    typed_days.event_day as day,
    concat('type ', types.event_type) as measure,
    cast(coalesce(counts.events, 0) / typed_days.events as double) as value
from typed_days
cross join types
left join counts on typed_days.event_day = counts.event_day and types.event_type = counts.event_type
