-- Items that users of both nights found new in their lists, or missed there, most users first.
-- grain: item
-- reads: first_users, second_users, first_names, second_names
-- parameters: $most
with stayed as (
    select distinct first_users.user_id
    from first_users
    inner join second_users on first_users.user_id = second_users.user_id
),

before as (
    select
        first_users.user_id,
        first_users.item_id
    from first_users
    inner join stayed on first_users.user_id = stayed.user_id
),

after as (
    select
        second_users.user_id,
        second_users.item_id
    from second_users
    inner join stayed on second_users.user_id = stayed.user_id
),

changed as (
    select
        coalesce(before.item_id, after.item_id) as item_id,
        before.user_id is null as is_new
    from before
    full join after
        on
            before.user_id = after.user_id
            and before.item_id = after.item_id
    where before.user_id is null or after.user_id is null
),

turned as (
    select
        item_id,
        count(*) filter (where is_new) as entered,
        count(*) filter (where not is_new) as left_lists
    from changed
    group by item_id
)

select
    turned.item_id,
    coalesce(second_names.name, first_names.name) as name,
    turned.entered,
    turned.left_lists
from turned
left join first_names on turned.item_id = first_names.item_id
left join second_names on turned.item_id = second_names.item_id
order by turned.entered + turned.left_lists desc, turned.item_id asc
limit $most
