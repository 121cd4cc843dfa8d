-- check: no id, rank, score or source is missing.
-- guards against: a failed join or an unknown index written out as null
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations, popular_items
select
    kind,
    asked,
    rank,
    recommended
from audited_recommendations
where asked is null or recommended is null or rank is null or score is null or source is null
union all
select
    'popular' as kind,
    null as asked,
    rank,
    cast(item_id as varchar) as recommended
from popular_items
where item_id is null or rank is null or score is null
