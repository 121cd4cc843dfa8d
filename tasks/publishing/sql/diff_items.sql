-- Items by how many users' lists hold them, where that changed the most between two nights.
-- grain: item
-- reads: first_users, second_users, first_names, second_names
-- parameters: $most
with before as (
    select
        item_id,
        count(*) as lists
    from first_users
    group by item_id
),

after as (
    select
        item_id,
        count(*) as lists
    from second_users
    group by item_id
),

moved as (
    select
        coalesce(before.item_id, after.item_id) as item_id,
        coalesce(before.lists, 0) as lists_before,
        coalesce(after.lists, 0) as lists_after
    from before
    full join after on before.item_id = after.item_id
)

select
    moved.item_id,
    coalesce(second_names.name, first_names.name) as name,
    moved.lists_before,
    moved.lists_after,
    moved.lists_after - moved.lists_before as change
from moved
left join first_names on moved.item_id = first_names.item_id
left join second_names on moved.item_id = second_names.item_id
where moved.lists_after <> moved.lists_before
order by abs(moved.lists_after - moved.lists_before) desc, moved.item_id asc
limit $most
