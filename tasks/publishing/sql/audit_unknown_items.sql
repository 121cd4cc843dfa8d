-- check: every recommended item had an event at some time.
-- guards against: ids mixed up between the model's vocabulary and the catalogue
-- severity: refuse
-- remedy: the model's vocabulary does not fit this warehouse: check which model was loaded
-- reads: audited_items, audited_catalogue
-- parameters: $all_days_read (false: the event may stand in a file that is lost)
select
    kind,
    item,
    rows
from audited_items
where
    $all_days_read
    and item is not null
    and item not in (select known.item from audited_catalogue as known)
