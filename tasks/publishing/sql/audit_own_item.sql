-- check: no item is its own next item.
-- guards against: an item page that recommends itself
-- reads: audited_recommendations
select
    kind,
    asked,
    rank
from audited_recommendations
where kind = 'item' and asked = recommended
