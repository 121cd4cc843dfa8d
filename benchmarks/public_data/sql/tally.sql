-- Events, sessions (or users) and items of a written file.
-- grain: one row
-- reads: written
-- parameters: none
select
    count(*) as events,
    count(distinct owner) as sessions,
    count(distinct item_id) as items
from written
