-- check: nobody is recommended the same item twice.
-- guards against: model rows and fallback rows that do not know of each other
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations
-- asked of: lists, as many at a time as memory orders
select
    kind,
    asked,
    count(*) as rows,
    count(distinct recommended) as items
from audited_recommendations
group by kind, asked
having count(distinct recommended) <> count(recommended)
