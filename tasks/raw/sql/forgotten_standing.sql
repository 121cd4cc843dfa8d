-- Those users of events that the days have already who were erased, as texts, by the digests of their ids.
-- grain: user
-- reads: standing, forgotten (digest)
-- parameters: $salt
with users as (
    select distinct cast(user_id as varchar) as user_id
    from standing
    where user_id is not null
)

select user_id
from users
where sha256(concat($salt, user_id)) in (select forgotten.digest from forgotten)
