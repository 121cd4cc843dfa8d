-- check: no hours of the night's day in which such a weekday has many visits are all but empty.
-- guards against: half a day of logs; a collector that was down
-- severity: refuse
-- remedy: bring the logs of the empty hours, then run the night again; if nobody came then, as on a holiday,
--     let this run pass with a higher checks.max_missing_hours
-- passes with: checks.max_missing_hours=1
-- reads: measured, hours
-- parameters: $max_missing_hours
select
    round(measured.value, 3) as share_of_visits,
    $max_missing_hours as at_most,
    (
        select string_agg(hours.local_hour, ' ' order by hours.local_hour)
        from hours
        where hours.is_missing and hours.is_told
    ) as empty_hours
from measured
where measured.measure = 'missing_hours' and measured.value > $max_missing_hours
