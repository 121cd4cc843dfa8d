-- check: a session begins on its day, within the window, and its times go forward from its start to its end.
-- guards against: sessions of another window or zone
-- severity: refuse
-- remedy: run the night again; where it comes back, keep the warehouse as it is and report a fault
-- reads: sessions, clock
-- parameters: $first_day, $night, $in_pieces: may a session be a later piece of one that began on its day?
with placed as (
    select
        sessions.*,
        cast(sessions.started_at + clock.ahead as date) as local_day
    from sessions
    left join clock on sessions.started_at >= clock.since and sessions.started_at < clock.until
)

select
    session_day,
    count(*) as sessions
from placed
where
    local_day is null
    or local_day < session_day
    or (local_day > session_day and not $in_pieces)
    or session_day not between $first_day and $night
    or times <> list_sort(times)
    or times[1] < started_at
    or times[-1] > ended_at
group by session_day
