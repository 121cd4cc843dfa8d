-- check: the rows of each user and each item have the ranks 1, 2, 3 ... once each.
-- guards against: rows lost or doubled between scoring and writing
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations
-- parameters: $parts (so many parts of the lists), $part (the one that is looked at, by the hash of its id)
select
    kind,
    asked,
    count(*) as rows,
    min(rank) as first_rank,
    max(rank) as last_rank
from audited_recommendations
where $parts = 1 or hash(asked) % $parts = $part
group by kind, asked
having min(rank) <> 1 or max(rank) <> count(*) or count(distinct rank) <> count(*)
