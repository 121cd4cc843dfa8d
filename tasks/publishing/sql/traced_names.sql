-- Names of some items.
-- grain: item
-- reads: item_names
-- parameters: $items
select
    item_id,
    name
from item_names
where list_contains($items, item_id)
