-- All sessions of any length, with their ids and the local day on which they began.
-- A derived id is the md5 of start and user: the same whatever the order in which events arrived. Where a
-- given id comes back, the session has its start beside that id. A session's second piece and further ones
-- have the md5 of its id, user and number, and belong to the day of the session.
-- grain: session (user_id, session_id, started_at)
-- reads: poured (what stretches.sessions yields), clock(since, until, ahead): how far local time is ahead
-- parameters: none
with named as (
    select
        *,
        case
            when given_id is null then md5(concat_ws(' ', epoch_us(began_at), user_id))
            when comes_back then given_id || ' ' || strftime(began_at, '%Y-%m-%dT%H:%M:%S.%f')
            else given_id
        end as whole_id
    from poured
),

identified as (
    select
        *,
        case when piece = 1 then whole_id else md5(concat_ws(' ', whole_id, user_id, piece)) end as session_id
    from named
)

select
    identified.session_id,
    identified.user_id,
    identified.started_at,
    identified.ended_at,
    identified.items,
    identified.times,
    identified.given_id,
    identified.events,
    identified.repeats,
    identified.is_crowded,
    cast(identified.began_at + clock.ahead as date) as session_day
from identified
left join clock on identified.began_at >= clock.since and identified.began_at < clock.until
