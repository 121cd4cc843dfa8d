-- What the night's day is like beside the days before it that the night has read.
-- missing_hours: the share of an ordinary day's visits that fall into hours in which the night's day has
-- less than a tenth of what is ordinary; a visit is a visitor in an hour, so that no bot outweighs
-- people, or a given session of nobody. An ordinary day is, hour by hour, the lower middle one of the
-- same weekday of up to 4 weeks before: shops open later on Sundays. Where none is known it has of each
-- hour what every day before has; as a first weekend may have fewer hours, that is quiet_hours then, but
-- on a Monday to Wednesday. Null where an ordinary day has fewer than 200 visits: chance alone empties
-- hours then. new_items: the share of the day's events whose item had none before.
-- grain: measure
-- reads: events, clock
-- parameters: $night, $refused: days that were refused, which are no norm
with visits as (
    select
        events.event_day,
        hour(events.event_time + clock.ahead) as local_hour,
        approx_count_distinct(events.user_id)
        + approx_count_distinct(events.session_id) filter (where events.user_id is null) as visits
    from events
    inner join clock on events.event_time >= clock.since and events.event_time < clock.until
    group by all
),

days_before as (
    select distinct
        event_day,
        ($night - event_day) in (7, 14, 21, 28) as is_such
    from visits
    where event_day < $night and not list_contains($refused, event_day)
),

clock_hours as (
    select unnest(range(24)) as local_hour
),

hours_before as (
    select
        days_before.is_such,
        clock_hours.local_hour,
        coalesce(visits.visits, 0) as visits
    from days_before
    cross join clock_hours
    left join
        visits
        on days_before.event_day = visits.event_day and clock_hours.local_hour = visits.local_hour
),

ordinary as (
    select
        local_hour,
        bool_or(is_such) or isodow($night) <= 3 as is_told,
        coalesce(quantile_disc(visits, 0.5) filter (where is_such), min(visits)) as visits
    from hours_before
    group by local_hour
),

tonight as (
    select
        local_hour,
        visits
    from visits
    where event_day = $night
),

hours as (
    select
        ordinary.is_told,
        ordinary.visits,
        coalesce(tonight.visits, 0) < 0.1 * ordinary.visits as is_missing
    from ordinary
    left join tonight on ordinary.local_hour = tonight.local_hour
),

known as (
    select distinct item_id
    from events
    where event_day < $night
),

events_tonight as (
    select item_id
    from events
    where event_day = $night
),

seen as (
    select known.item_id is null as is_new
    from events_tonight
    left join known on events_tonight.item_id = known.item_id
)

select
    if(is_told, 'missing_hours', 'quiet_hours') as measure,
    case when sum(visits) >= 200 then coalesce(sum(visits) filter (where is_missing), 0) / sum(visits) end
        as value
from hours
group by is_told
union all
select
    'new_items' as measure,
    avg(cast(is_new as double)) as value
from seen
where exists (select 1 from known)
