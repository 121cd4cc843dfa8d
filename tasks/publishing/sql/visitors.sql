-- Users with an event on the night's own day.
-- grain: user
-- reads: night_events
select distinct user_id
from night_events
