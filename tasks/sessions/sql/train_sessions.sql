-- Sessions that start before a given instant, without their events at or after it.
-- grain: session (user_id, session_id)
-- reads: window_sessions
-- parameters: $cut (UTC), $min_length
with cut as (
    select
        session_id,
        user_id,
        started_at,
        list_slice(items, 1, len(list_filter(times, lambda moment: moment < $cut))) as items
    from window_sessions
    where started_at < $cut
)

select
    session_id,
    user_id,
    items
from cut
where len(items) >= $min_length
order by started_at, session_id, user_id
