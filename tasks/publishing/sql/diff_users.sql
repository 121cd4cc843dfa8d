-- Users who have a list in the first night only, in the second only, and in both.
-- grain: one row
-- reads: first_users, second_users (user_id, rank, item_id, source)
-- parameters: none
with before as (
    select distinct user_id from first_users
),

after as (
    select distinct user_id from second_users
)

select
    count(*) filter (where after.user_id is null) as went,
    count(*) filter (where before.user_id is null) as came,
    count(*) filter (where before.user_id is not null and after.user_id is not null) as stayed
from before
full join after on before.user_id = after.user_id
