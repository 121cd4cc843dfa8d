-- Every item that the staged tables recommend, in how many rows.
-- grain: kind, item
-- reads: audited_recommendations, popular_items (staged)
select
    kind,
    recommended as item,
    count(*) as rows
from audited_recommendations
group by kind, recommended
union all
select
    'popular' as kind,
    cast(item_id as varchar) as item,
    1 as rows
from popular_items
