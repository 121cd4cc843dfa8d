-- How the lists of users spread over the items of the window, tonight and in the publication before.
-- The Gini coefficient is 0 where all items are recommended alike, near 1 where a few have all the rows.
-- grain: measure
-- reads: user_recommendations, item_recommendations (staged); users_before, items_before
with recommended as (
    select
        'tonight' as side,
        item_id,
        count(*) as times
    from user_recommendations
    group by item_id
    union all
    select
        'before' as side,
        item_id,
        count(*) as times
    from users_before
    group by item_id
),

catalogue as (
    select
        'tonight' as side,
        item_id
    from item_recommendations
    where rank = 1
    union all
    select
        'before' as side,
        item_id
    from items_before
    where rank = 1
),

placed as (
    select
        coalesce(catalogue.side, recommended.side) as side,
        coalesce(recommended.times, 0) as times,
        row_number() over (
            partition by coalesce(catalogue.side, recommended.side) order by coalesce(recommended.times, 0)
        ) as place
    from catalogue
    full outer join recommended
        on catalogue.side = recommended.side and catalogue.item_id = recommended.item_id
),

spread as (
    select
        side,
        2 * sum(place * times) / nullif(count(*) * sum(times), 0) - (count(*) + 1) / count(*) as gini,
        avg(cast(times > 0 as double)) as coverage
    from placed
    group by side
)

select
    'gini' as measure,
    max(gini) filter (side = 'tonight') as tonight,
    max(gini) filter (side = 'before') as before
from spread
union all
select
    'catalogue_coverage' as measure,
    max(coverage) filter (side = 'tonight') as tonight,
    max(coverage) filter (side = 'before') as before
from spread
