-- check: popular items have the ranks 1, 2, 3 ... once each, each item once, and scores that never rise.
-- guards against: ties numbered twice, an unsorted list
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: popular_items
with numbered as (
    select
        *,
        row_number() over (order by rank) as expected_rank,
        lag(score) over (order by rank) as score_before,
        count(*) over (partition by item_id) as times
    from popular_items
)

select
    rank,
    expected_rank,
    item_id,
    score,
    times
from numbered
where rank <> expected_rank or score > score_before or times > 1
