-- Users at which passes over the events begin, all but the first: each pass has about as many events, as some
-- that are drawn tell. Where one user has more events than a pass, there are fewer passes.
-- grain: user, in order
-- reads: events_to_cut
-- parameters: $passes
with drawn as (
    select user_id
    from events_to_cut
    using sample reservoir (20000 rows)
),

parted as (
    select
        user_id,
        ntile($passes) over (order by user_id) as part
    from drawn
),

begun as (
    select min(user_id) as first_user
    from parted
    where user_id is not null and part > 1
    group by part
)

select distinct first_user
from begun
order by first_user
