-- The distinct items that each session's user had in the window before the session began.
-- grain: asked session, in the order of their places
-- reads: asked_sessions (place, user_id, started_at), window_events
with had as (
    select
        asked_sessions.place,
        list(distinct window_events.item_id order by window_events.item_id) as items
    from asked_sessions
    inner join window_events
        on
            asked_sessions.user_id = window_events.user_id
            and asked_sessions.started_at > window_events.event_time
    group by asked_sessions.place
)

select had.items
from asked_sessions
left join had on asked_sessions.place = had.place
order by asked_sessions.place
