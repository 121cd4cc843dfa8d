-- What the night's day is like beside the days before it that the night has read.
-- missing_hours: the share of an ordinary day's visits that fall into hours in which the night's day is all
-- but empty, and quiet_hours where no such weekday is known; null where an ordinary day has fewer than 200
-- visits: chance alone empties hours then. new_items: the share of the day's events whose item had none
-- before.
-- grain: measure
-- reads: events, hours
-- parameters: $night
with known as (
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
