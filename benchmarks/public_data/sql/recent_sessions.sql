-- Sessions that start at or after a time.
-- grain: step
-- reads: whole
-- parameters: since
select
    session_id,
    item_id,
    moment,
    place,
    part
from whole
qualify min(moment) over (partition by session_id) >= $since
