-- check: no hours of the night's day in which such a weekday has many visits are all but empty.
-- guards against: half a day of logs; a collector that was down
-- severity: refuse
-- remedy: bring the logs of the empty hours, then run the night again; if nobody came then, as on a holiday,
--     let this run pass with a higher checks.max_missing_hours
-- passes with: checks.max_missing_hours=1
-- reads: measured
-- parameters: $max_missing_hours
select
    round(value, 3) as share_of_visits,
    $max_missing_hours as at_most
from measured
where measure = 'missing_hours' and value > $max_missing_hours
