-- check: every recommended item had an event at some time.
-- guards against: ids mixed up between the model's vocabulary and the catalogue
-- reads: audited_recommendations, popular_items, audited_catalogue
-- parameters: $all_days_read (false: the event may stand in a file that is lost)
with listed as (
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
)

select
    kind,
    item,
    rows
from listed
where
    $all_days_read
    and item is not null
    and item not in (select known.item from audited_catalogue as known)
