-- check: no table has lost more than a share of the users or items it had in the publication before.
-- guards against: half of the logs not delivered
-- severity: refuse
-- remedy: check that all logs of the night were delivered, then run it again; if the shop did
--     shrink, the check ends 7 days after the last publication
-- reads: staged_tables (name, rows, size, size_before; null when there is nothing to compare with)
-- parameters: $min_share
select
    name,
    size_before,
    size
from staged_tables
where size < $min_share * size_before
