-- check: each user and each item has k rows; fewer only where the catalogue has no more items to give.
-- guards against: lists cut short, k ignored
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- asked of: lists, as many at a time as memory orders
-- reads: audited_recommendations, audited_items, excluded_items, known_items
-- parameters: $k, $per_category (0: any number)
with categories as (
    select
        shown.kind,
        known.category,
        count(shown.item) as items
    from audited_items as shown
    left join known_items as known on shown.item = cast(known.item_id as varchar)
    group by shown.kind, known.category
),

catalogue as (
    select
        kind,
        sum(if($per_category = 0 or category is null, items, least(items, $per_category))) as items
    from categories
    group by kind
),

withheld as (
    select
        asked,
        count(*) as items
    from excluded_items
    group by asked
),

counted as (
    select
        kind,
        asked,
        count(*) as rows
    from audited_recommendations
    group by kind, asked
),

left_over as (
    select
        counted.kind,
        counted.asked,
        counted.rows,
        catalogue.items - if(counted.kind = 'item', 1, coalesce(withheld.items, 0)) as items
    from counted
    inner join catalogue on counted.kind = catalogue.kind
    left join withheld on counted.asked = withheld.asked
)

select
    kind,
    asked,
    rows,
    least($k, items) as expected
from left_over
where rows > $k or rows < least($k, items)
