-- What each user met on the days that the lists were made from.
-- grain: user, item
-- reads: events_before (of the window of the lists)
-- parameters: $night (the day that is scored: it and later ones do not count)
select distinct
    user_id,
    item_id
from events_before
where event_day < $night
