-- check: no table has lost more than a share of the users or items it had in the publication before.
-- guards against: half of the logs not delivered
-- severity: refuse
-- remedy: check that all logs of the night were delivered, then run it again; if the shop did
--     shrink, let this run pass with a lower audits.min_size, or wait: the check ends 7 days
--     after the last publication
-- reads: staged_tables (name, rows, size, size_before; null when there is nothing to compare with)
-- parameters: $min_size
select
    name,
    size_before,
    size
from staged_tables
where size < $min_size * size_before
