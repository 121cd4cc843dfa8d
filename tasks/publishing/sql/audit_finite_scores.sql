-- check: scores are finite numbers, and sources are known.
-- guards against: NaN or infinity out of a broken model
-- severity: refuse
-- remedy: the model is broken: publish the champion, and look at the training's losses
-- reads: audited_recommendations, popular_items
select
    kind,
    asked,
    rank,
    score,
    source
from audited_recommendations
where not isfinite(score) or source not in ('model', 'fallback')
union all
select
    'popular' as kind,
    cast(item_id as varchar) as asked,
    rank,
    score,
    null as source
from popular_items
where not isfinite(score)
