-- The time of the newest step, null when there is none.
-- grain: one row
-- reads: whole
-- parameters: none
select max(moment)
from whole
