-- What the day's visitors with a list had done when lists were made: their last sessions are cut of it anew.
-- grain: event
-- reads: events_read (lead-in and window of the lists), events (of tonight's window), shown_users
-- parameters: $night (the day that is scored: it and later ones do not count), $exclude (nothing: no event)
with came as (
    select distinct user_id
    from events
    where event_day = $night and $exclude <> 'nothing'
),

listed as (select distinct user_id from shown_users),

earlier as (
    select
        user_id,
        item_id,
        event_time,
        place,
        session_id
    from events_read
    where event_day < $night
)

select earlier.*
from earlier
inner join came on earlier.user_id = came.user_id
inner join listed on earlier.user_id = listed.user_id
