-- check: not many more of the night's events are of items that the days before did not have.
-- guards against: ids of items in another form; logs of another shop
-- severity: warn
-- remedy: compare tonight's item ids with those of before; where the items are new, this is as it should be,
--     and checks.max_new_items_rise can be raised
-- reads: measured
-- parameters: $max_new_items_rise
select
    round(value, 3) as share_of_events,
    round(most, 3) as most
from measured
where measure = 'new_items' and value > most + $max_new_items_rise
