-- Local days of users that no visitor has, each by the first rule that says so.
-- grain: user, local day
-- reads: events_of_pass, clock(since, until, ahead): how far local time is ahead of UTC
-- parameters: $events_per_day, $events_per_minute, $item_share of at least $item_share_events; 0 asks nothing
with placed as (
    select
        events_of_pass.user_id,
        events_of_pass.item_id,
        events_of_pass.event_time,
        cast(events_of_pass.event_time + clock.ahead as date) as event_day
    from events_of_pass
    left join clock on events_of_pass.event_time >= clock.since and events_of_pass.event_time < clock.until
    where events_of_pass.user_id is not null
),

days as (
    select
        user_id,
        event_day,
        count(*) as events,
        min(event_time) as first_time,
        max(event_time) as last_time
    from placed
    group by user_id, event_day
),

minutes as (
    select
        user_id,
        event_day,
        count(*) as events
    from placed
    group by user_id, event_day, epoch_us(event_time) // 60000000
),

fastest as (
    select
        user_id,
        event_day,
        max(events) as events
    from minutes
    group by user_id, event_day
),

items as (
    select
        user_id,
        event_day,
        count(*) as events
    from placed
    group by user_id, event_day, item_id
),

favourites as (
    select
        user_id,
        event_day,
        max(events) as events
    from items
    group by user_id, event_day
),

measured as (
    select
        days.*,
        fastest.events as in_a_minute,
        favourites.events as of_an_item
    from days
    inner join fastest on days.user_id = fastest.user_id and days.event_day = fastest.event_day
    inner join favourites on days.user_id = favourites.user_id and days.event_day = favourites.event_day
),

judged as (
    select
        *,
        case
            when $events_per_day > 0 and events > $events_per_day then 'events_per_day'
            when $events_per_minute > 0 and in_a_minute > $events_per_minute then 'events_per_minute'
            when
                $item_share > 0 and events >= $item_share_events and of_an_item > $item_share * events
                then 'item_share'
        end as rule
    from measured
)

select
    user_id,
    event_day,
    first_time,
    last_time,
    events,
    rule
from judged
where rule is not null
