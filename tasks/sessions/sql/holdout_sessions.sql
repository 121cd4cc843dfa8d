-- Sessions of the holdout day; of more than $max_sessions, those with the smallest md5 of their id.
-- grain: session (user_id, session_id, started_at)
-- reads: window_sessions
-- parameters: $night, $max_sessions, $with_times
with drawn as (
    select *
    from window_sessions
    where session_day = $night
    order by md5(session_id), session_id, user_id
    limit $max_sessions
)

select
    session_id,
    user_id,
    items,
    case when $with_times then times end as times
from drawn
order by started_at, session_id, user_id
