-- What was recommended after one item.
-- grain: rank
-- reads: item_recommendations, item_names
-- parameters: $asked
with listed as (
    select
        rank,
        next_item_id as item_id,
        score,
        source,
        model_version
    from item_recommendations
    where item_id = $asked
)

select
    listed.rank,
    listed.item_id,
    item_names.name,
    listed.score,
    listed.source,
    listed.model_version
from listed
left join item_names on listed.item_id = item_names.item_id
order by listed.rank
