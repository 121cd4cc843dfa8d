-- check: no table has more than so many times the users or items it had in the publication before.
-- guards against: logs delivered twice under other ids, bots, a test system's traffic
-- severity: refuse
-- remedy: look for sources that are new or read twice, and for ids of another form; if the shop did grow,
--     let this run pass with a higher audits.max_size
-- reads: staged_tables (name, rows, size, size_before; null when there is nothing to compare with)
-- parameters: $max_size
select
    name,
    size_before,
    size
from staged_tables
where size > $max_size * size_before
