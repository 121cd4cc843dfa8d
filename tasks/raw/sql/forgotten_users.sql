-- Those users of some lines or events who were erased, as texts, by the digests of their ids.
-- grain: user
-- reads: told (user_id), forgotten (digest)
-- parameters: $salt
with users as (
    select distinct cast(user_id as varchar) as user_id
    from told
    where user_id is not null
)

select user_id
from users
where sha256(concat($salt, user_id)) in (select forgotten.digest from forgotten)
