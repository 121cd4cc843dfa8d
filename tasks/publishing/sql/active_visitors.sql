-- Users with an event in the days in which one is active, not counting events that are no visitor's.
-- grain: user
-- reads: window_events (of the active days)
select distinct user_id
from window_events
