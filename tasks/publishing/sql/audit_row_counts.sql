-- check: each user and each item has k rows; fewer only where the catalogue has no more items to give.
-- guards against: lists cut short, k ignored
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations, excluded_items
-- parameters: $k
with catalogue as (
    select
        kind,
        count(distinct recommended) as items
    from audited_recommendations
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
