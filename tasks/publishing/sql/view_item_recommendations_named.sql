-- The latest night's lists of items, with what is known of both.
-- grain: item, rank
-- reads: item_recommendations, items
select
    lists.item_id,
    items.name,
    lists.rank,
    lists.next_item_id,
    next_items.name as next_name,
    next_items.category as next_category,
    lists.score,
    lists.source,
    lists.model_version,
    lists.night
from item_recommendations as lists
left join items on lists.item_id = items.item_id
left join items as next_items on lists.next_item_id = next_items.item_id
