-- What the night's day is like beside the days before it that the night has read.
-- missing_hours: the share of an ordinary day's visits that fall into hours in which the night's day has less
-- than a tenth of what is ordinary; a visit is a visitor in an hour, so that no bot outweighs people. Null
-- where an ordinary day has fewer than 200 visits: chance alone empties hours then. new_items: the share of
-- the day's events whose item had none before.
-- grain: measure
-- reads: events, clock
-- parameters: $night
with visits as (
    select
        events.event_day,
        hour(events.event_time + clock.ahead) as local_hour,
        approx_count_distinct(events.user_id) as visits
    from events
    inner join clock on events.event_time >= clock.since and events.event_time < clock.until
    group by all
),

days_before as (
    select count(distinct event_day) as days
    from visits
    where event_day < $night
),

before as (
    select
        local_hour,
        sum(visits) as visits
    from visits
    where event_day < $night
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
        before.visits / days_before.days as visits,
        coalesce(tonight.visits, 0) < 0.1 * before.visits / days_before.days as is_missing
    from before
    cross join days_before
    left join tonight on before.local_hour = tonight.local_hour
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
    'missing_hours' as measure,
    case when sum(visits) >= 200 then coalesce(sum(visits) filter (where is_missing), 0) / sum(visits) end
        as value
from hours
union all
select
    'new_items' as measure,
    avg(cast(is_new as double)) as value
from seen
where exists (select 1 from known)
