-- check: by rank, the model's scores never rise, and no row of the model comes after a fallback row.
-- guards against: an unsorted top-k, fallback rows mixed in
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations
-- asked of: lists, as many at a time as memory orders
with neighbours as (
    select
        *,
        lag(score) over ranked as score_before,
        lag(source) over ranked as source_before
    from audited_recommendations
    window ranked as (partition by kind, asked order by rank)
)

select
    kind,
    asked,
    rank,
    score_before,
    score,
    source_before,
    source
from neighbours
where
    (source = 'model' and source_before = 'model' and score > score_before)
    or (source = 'model' and source_before <> 'model')
