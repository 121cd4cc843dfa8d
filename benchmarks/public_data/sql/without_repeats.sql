-- Steps without those that repeat the item just before them in their session.
-- grain: step
-- reads: steps
-- parameters: none
select
    session_id,
    item_id,
    moment,
    place,
    part
from steps
qualify item_id is distinct from lag(item_id) over (partition by session_id order by moment, place)
