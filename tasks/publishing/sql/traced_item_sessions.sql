-- The newest sessions that hold one item.
-- grain: session (user_id, session_id, started_at)
-- reads: sessions
-- parameters: $asked, $most
select
    session_id,
    user_id,
    started_at,
    ended_at,
    items,
    times
from sessions
where list_contains(items, $asked)
order by started_at desc, session_id desc, user_id desc
limit $most
