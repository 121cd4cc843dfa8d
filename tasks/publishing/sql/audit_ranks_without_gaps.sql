-- check: the rows of each user and each item have the ranks 1, 2, 3 ... once each.
-- guards against: rows lost or doubled between scoring and writing
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations
-- asked of: lists, as many at a time as memory orders
select
    kind,
    asked,
    count(*) as rows,
    min(rank) as first_rank,
    max(rank) as last_rank
from audited_recommendations
group by kind, asked
having min(rank) <> 1 or max(rank) <> count(*) or count(distinct rank) <> count(*)
