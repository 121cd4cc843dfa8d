-- What was recommended after one item.
-- grain: rank
-- reads: item_recommendations
-- parameters: $asked
select
    rank,
    next_item_id as item_id,
    score,
    source,
    model_version
from item_recommendations
where item_id = $asked
