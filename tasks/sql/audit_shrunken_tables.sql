-- check: no table has lost more than a share of the rows it had in the publication before.
-- guards against: half of the logs not delivered
-- reads: staged_tables (name, rows, rows_before; null when there is nothing to compare with)
-- parameters: $min_share
select
    name,
    rows_before,
    rows
from staged_tables
where rows < $min_share * rows_before
