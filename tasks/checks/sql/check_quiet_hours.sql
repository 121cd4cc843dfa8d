-- check: no hours in which each day before has many visits are all but empty, where no such weekday is known.
-- guards against: half a day of logs; a collector that was down
-- severity: warn
-- remedy: where the shop was open then, bring the logs of the empty hours and run the night again; on a first
--     weekend with other hours this is as it should be
-- reads: measured, hours
-- parameters: $max_missing_hours
select
    round(measured.value, 3) as share_of_visits,
    $max_missing_hours as at_most,
    (
        select string_agg(hours.local_hour, ' ' order by hours.local_hour)
        from hours
        where hours.is_missing and not hours.is_told
    ) as empty_hours
from measured
where measured.measure = 'quiet_hours' and measured.value > $max_missing_hours
