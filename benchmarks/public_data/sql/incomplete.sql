-- How many steps lack a session, an item or a time.
-- grain: one row
-- reads: steps
-- parameters: none
select count(*)
from steps
where session_id is null or item_id is null or moment is null
