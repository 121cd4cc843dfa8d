-- check: no item is its own next item.
-- guards against: an item page that recommends itself
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations
select
    kind,
    asked,
    rank
from audited_recommendations
where kind = 'item' and asked = recommended
