-- The steps of test whose item occurs in train, without sessions that this made short.
-- grain: step
-- reads: parted, known
-- parameters: min_session_length
with of_known_items as (
    select
        session_id,
        item_id,
        moment,
        place,
        part
    from parted
    where parted.part = 'test' and parted.item_id in (select known.item_id from known)
)

select
    session_id,
    item_id,
    moment,
    place,
    part
from of_known_items
qualify count(*) over (partition by session_id) >= $min_session_length
