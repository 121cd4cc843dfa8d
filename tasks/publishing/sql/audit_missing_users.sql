-- check: every user with an event in the active days has recommendations.
-- guards against: users lost on the way from events to scores
-- severity: refuse
-- remedy: look for sessions that lack these users; check recommendations.active_days
-- reads: active_events, user_recommendations
select distinct active_events.user_id
from active_events
where active_events.user_id not in (
    select user_recommendations.user_id
    from user_recommendations
    where user_recommendations.user_id is not null
)
