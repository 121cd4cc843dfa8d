-- check: each user and each item has k rows; fewer only where the catalogue has no more items to give.
-- guards against: lists cut short, k ignored
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations
-- parameters: $k, $may_be_withheld (items that a user's own history can take out of the catalogue)
with catalogue as (
    select
        kind,
        least($k, count(distinct recommended) - if(kind = 'item', 1, $may_be_withheld)) as expected
    from audited_recommendations
    group by kind
),

counted as (
    select
        kind,
        asked,
        count(*) as rows,
        count(*) > $k as is_too_long
    from audited_recommendations
    group by kind, asked
)

select
    counted.kind,
    counted.asked,
    counted.rows,
    catalogue.expected
from counted
inner join catalogue on counted.kind = catalogue.kind
where counted.is_too_long or counted.rows < catalogue.expected
