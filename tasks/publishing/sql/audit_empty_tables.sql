-- check: no published table is empty.
-- guards against: a night that ran on nothing
-- severity: refuse
-- remedy: check the sources and recommendations.active_days
-- reads: staged_tables (name, rows)
select name
from staged_tables
where rows = 0
