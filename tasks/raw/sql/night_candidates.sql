-- How many events the night's own day has.
-- grain: one row
-- reads: candidates
-- parameters: $night
select count(*) as events
from candidates
where event_day = $night
