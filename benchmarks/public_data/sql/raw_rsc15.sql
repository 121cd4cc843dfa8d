-- YooChoose: every click counts; sessions are given.
-- grain: step
-- reads: raw
-- parameters: none
select
    session_id,
    item_id,
    timestamp as moment
from raw
