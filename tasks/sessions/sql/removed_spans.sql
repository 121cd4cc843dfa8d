-- From when to when events of a user, or of one given session, are those of no visitor, and by which rule.
-- grain: user, span, in order
-- reads: removed_days, cut_sessions
-- parameters: none
select
    user_id,
    null::varchar as given_id,
    first_time,
    last_time,
    event_day as day,
    events,
    rule
from removed_days
union all
select
    user_id,
    given_id,
    started_at as first_time,
    ended_at as last_time,
    session_day as day,
    events,
    'events_per_session' as rule
from cut_sessions
where is_crowded
order by user_id, first_time, given_id
