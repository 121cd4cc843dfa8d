-- The hours of an ordinary day beside those of the night's day.
-- A visit is a visitor in an hour, so that no bot outweighs people, or a given session of nobody. An ordinary
-- day is, hour by hour, the lower middle one of the same weekday of up to 4 weeks before: shops open later on
-- Sundays. Where none is known it has of each hour what every day before has; as a first weekend may have
-- fewer hours, that is not told then, but on a Monday to Wednesday. is_missing: the night's day has less than
-- a tenth of what is ordinary.
-- grain: local_hour
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
)

select
    ordinary.local_hour,
    ordinary.is_told,
    ordinary.visits,
    coalesce(tonight.visits, 0) < 0.1 * ordinary.visits as is_missing
from ordinary
left join tonight on ordinary.local_hour = tonight.local_hour
