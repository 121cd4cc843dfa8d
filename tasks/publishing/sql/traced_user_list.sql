-- What one user was recommended.
-- grain: rank
-- reads: user_recommendations, item_names
-- parameters: $asked
with listed as (
    select
        rank,
        item_id,
        score,
        source,
        model_version
    from user_recommendations
    where user_id = $asked
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
