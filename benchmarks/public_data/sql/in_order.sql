-- A session file: sessions by their start, steps by time, ties as in the raw files.
-- grain: step
-- reads: whole
-- parameters: none
select
    session_id,
    item_id,
    cast(moment as timestamp_ms) as "timestamp"
from whole
order by
    min(moment) over (partition by session_id),
    session_id,
    moment,
    place
