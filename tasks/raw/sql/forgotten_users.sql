-- Those users of a piece who were erased, by the digests of their ids.
-- grain: user
-- reads: typed, forgotten (digest)
-- parameters: $salt
with users as (
    select distinct user_id
    from typed
    where user_id is not null
)

select user_id
from users
where sha256(concat($salt, cast(user_id as varchar))) in (select forgotten.digest from forgotten)
