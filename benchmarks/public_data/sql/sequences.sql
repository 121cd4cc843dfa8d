-- A sequence file: each user's items in time order, ties by item, without the last so many.
-- grain: step
-- reads: steps
-- parameters: held_out
with placed as (
    select
        session_id as user_id,
        item_id,
        row_number() over (partition by session_id order by moment, item_id) - 1 as position, -- noqa: RF04
        count(*) over (partition by session_id) as events
    from steps
)

select
    user_id,
    item_id,
    position
from placed
where position < events - $held_out
order by
    user_id,
    position
