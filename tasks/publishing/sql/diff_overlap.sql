-- How many of the first night's items a user's list still has in the second: users, by the number they share.
-- Only users of both nights; a list is as long as the longer of the two.
-- grain: shared items, length
-- reads: first_users, second_users
-- parameters: none
with before as (
    select
        user_id,
        count(*) as items
    from first_users
    group by user_id
),

after as (
    select
        user_id,
        count(*) as items
    from second_users
    group by user_id
),

both_nights as (
    select
        first_users.user_id,
        count(*) as shared,
        count(*) filter (where first_users.rank = second_users.rank) as in_place
    from first_users
    inner join second_users
        on
            first_users.user_id = second_users.user_id
            and first_users.item_id = second_users.item_id
    group by first_users.user_id
),

compared as (
    select
        greatest(before.items, after.items) as length,
        coalesce(both_nights.shared, 0) as shared,
        coalesce(both_nights.in_place, 0) = greatest(before.items, after.items) as is_same
    from before
    inner join after on before.user_id = after.user_id
    left join both_nights on before.user_id = both_nights.user_id
)

select
    shared,
    length,
    count(*) as users,
    count(*) filter (where is_same) as same
from compared
group by shared, length
order by shared, length
