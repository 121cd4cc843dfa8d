-- The latest night's lists of users, with what is known of each item.
-- grain: user, rank
-- reads: user_recommendations, items
select
    lists.user_id,
    lists.rank,
    lists.item_id,
    items.name,
    items.category,
    lists.score,
    lists.source,
    lists.model_version,
    lists.night
from user_recommendations as lists
left join items on lists.item_id = items.item_id
