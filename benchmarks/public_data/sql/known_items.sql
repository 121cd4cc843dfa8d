-- The steps of test whose item occurs in train, without sessions that this made short.
-- grain: step
-- reads: parted, known
-- parameters: min_session_length
with of_known_items as (
    select *
    from parted
    where part = 'test' and item_id in (select item_id from known)
)

select *
from of_known_items
qualify count(*) over (partition by session_id) >= $min_session_length
