-- The steps of one part, without sessions that the cut made short.
-- grain: step
-- reads: parted
-- parameters: part, min_session_length
select
    session_id,
    item_id,
    moment,
    place,
    part
from parted
where part = $part
qualify count(*) over (partition by session_id) >= $min_session_length
