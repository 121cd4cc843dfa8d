-- Steps with the part that the publisher's files gave them.
-- grain: step
-- reads: whole
-- parameters: none
select
    session_id,
    item_id,
    moment,
    place,
    part
from whole
