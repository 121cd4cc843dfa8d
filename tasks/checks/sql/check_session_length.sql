-- check: sessions are on average as long as on the last 7 nights, or not far from it.
-- guards against: events of some kind that are not logged any more, or twice; sessions cut by another gap
-- severity: warn
-- remedy: see what changed in the logs or in [sessions]; where it is meant, raise checks.max_length_change
-- reads: measured
-- parameters: $max_length_change
select
    round(value, 2) as items_per_session,
    round(least, 2) as least,
    round(most, 2) as most
from measured
where
    measure = 'session_length'
    and (value < least * (1 - $max_length_change) or value > most * (1 + $max_length_change))
