-- What each asked session's user did in the window before it began: sessions that start there, oldest first,
-- however short; of one that went on meanwhile, what came before. Null where there was nothing.
-- grain: asked session, in the order of their places
-- reads: asked_sessions (place, user_id, started_at), found
-- parameters: $first_day of the window
with of_window as (
    select *
    from found
    where session_day >= $first_day
),

had as (
    select
        asked_sessions.place,
        asked_sessions.started_at as asked_at,
        of_window.started_at,
        of_window.session_id,
        of_window.items,
        of_window.times
    from asked_sessions
    inner join of_window
        on
            asked_sessions.user_id = of_window.user_id
            and asked_sessions.started_at > of_window.started_at
),

counted as (
    select
        *,
        len(list_filter(times, lambda moment: moment < asked_at)) as before
    from had
),

joined as (
    select
        place,
        list(list_slice(items, 1, before) order by started_at, session_id) as items,
        list(list_slice(times, 1, before) order by started_at, session_id) as times
    from counted
    where before > 0
    group by place
)

select
    joined.items,
    joined.times
from asked_sessions
left join joined on asked_sessions.place = joined.place
order by asked_sessions.place
