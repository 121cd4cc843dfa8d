-- check: the rows of each user and each item have the ranks 1, 2, 3 ... once each.
-- guards against: rows lost or doubled between scoring and writing
-- reads: audited_recommendations
select
    kind,
    asked,
    count(*) as rows,
    min(rank) as first_rank,
    max(rank) as last_rank
from audited_recommendations
group by kind, asked
having min(rank) <> 1 or max(rank) <> count(*) or count(distinct rank) <> count(*)
