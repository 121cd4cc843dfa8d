-- Staged recommendations of users and of items in one shape, so that one check guards both.
-- grain: kind, asked, rank
-- reads: user_recommendations, item_recommendations (staged)
select
    'user' as kind,
    cast(user_id as varchar) as asked,
    rank,
    cast(item_id as varchar) as recommended,
    score,
    source
from user_recommendations
union all
select
    'item' as kind,
    cast(item_id as varchar) as asked,
    rank,
    cast(next_item_id as varchar) as recommended,
    score,
    source
from item_recommendations
