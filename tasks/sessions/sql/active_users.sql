-- Users with an event since a given instant, and the items of their last session, however short it is.
-- Sessions of nobody make nobody active.
-- grain: user
-- reads: found
-- parameters: $since (UTC)
select
    user_id,
    arg_max(items, (started_at, session_id)) as items,
    arg_max(times, (started_at, session_id)) as times
from found
where user_id is not null
group by user_id
having max(ended_at) >= $since
order by user_id
