-- check: the night's day has at least a share of the events that such a day has.
-- guards against: part of a day's logs not delivered
-- severity: refuse
-- remedy: bring the rest of the day's logs, then run the night again; if the day was so quiet, as holidays
--     are, let this run pass with a lower checks.min_volume
-- passes with: checks.min_volume=0
-- reads: measured
-- parameters: $min_volume
select
    cast(value as bigint) as events,
    cast($min_volume * least as bigint) as at_least
from measured
where measure = 'events' and value < $min_volume * least
