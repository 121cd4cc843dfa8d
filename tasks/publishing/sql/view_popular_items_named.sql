-- The latest night's popular items, with what is known of them.
-- grain: rank
-- reads: popular_items, items
select
    popular.rank,
    popular.item_id,
    items.name,
    items.category,
    popular.score,
    popular.night
from popular_items as popular
left join items on popular.item_id = items.item_id
