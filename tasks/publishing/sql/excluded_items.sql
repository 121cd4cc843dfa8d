-- What the list of each active user may not hold, both as text.
-- grain: user, item
-- reads: active_users (user_id, items: those of the last session, the oldest first), window_events
-- parameters: $exclude (nothing, last_item, session, window)
with asked as (
    select
        cast(user_id as varchar) as asked,
        unnest(if($exclude = 'last_item', items[-1:], items)) as item_id
    from active_users
    where $exclude <> 'nothing'
)

select
    asked,
    cast(item_id as varchar) as item
from asked
union
select
    cast(user_id as varchar) as asked,
    cast(item_id as varchar) as item
from window_events
where $exclude = 'window' and cast(user_id as varchar) in (select asked.asked from asked)
