-- Sessions that start before a given instant, without their events at or after it.
-- grain: session (user_id, session_id, started_at)
-- reads: window_sessions
-- parameters: $cut (UTC), $min_length, $with_times
with kept as (
    select
        *,
        len(list_filter(times, lambda moment: moment < $cut)) as before
    from window_sessions
    where started_at < $cut
),

cut as (
    select
        session_id,
        user_id,
        started_at,
        list_slice(items, 1, before) as items,
        list_slice(times, 1, before) as times
    from kept
)

select
    session_id,
    user_id,
    items,
    case when $with_times then times end as times
from cut
where len(items) >= $min_length
order by started_at, session_id, user_id
