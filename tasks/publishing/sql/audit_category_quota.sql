-- check: no list of a user or an item has more of one category than rules.per_category.
-- guards against: a quota that model rows and fallback rows fill each for itself
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations, known_items
-- parameters: $per_category (0: any number)
with counted as (
    select
        shown.kind,
        shown.asked,
        known.category,
        count(*) as items
    from audited_recommendations as shown
    inner join known_items as known on shown.recommended = cast(known.item_id as varchar)
    where known.category is not null
    group by shown.kind, shown.asked, known.category
)

select
    kind,
    asked,
    category,
    items
from counted
where $per_category > 0 and items > $per_category
