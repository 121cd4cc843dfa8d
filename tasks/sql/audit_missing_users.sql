-- check: every user with an event in the active days has recommendations.
-- guards against: users lost on the way from events to scores
-- reads: active_events, user_recommendations
select distinct user_id
from active_events
where user_id not in (select user_id from user_recommendations where user_id is not null)
