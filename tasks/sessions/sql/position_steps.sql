-- Sequences of a file with user_id, item_id, position: one for each user.
-- grain: user
-- reads: steps
-- parameters: none
with placed as (
    select
        user_id,
        item_id,
        position,
        row_number() over () as place
    from steps
),

grouped as (
    select
        user_id,
        list(item_id order by position, place) as items,
        count(*) filter (where user_id is null or item_id is null or position is null) as missing,
        cast(min(position) as varchar) in ('-inf', '-infinity')
        or cast(max(position) as varchar) in ('inf', 'infinity', 'nan') as endless
    from placed
    group by user_id
)

select
    cast(user_id as varchar) as session_id,
    items,
    missing,
    coalesce(endless, false) as endless
from grouped
order by user_id
