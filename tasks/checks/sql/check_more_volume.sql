-- check: the night's day does not have many times the events of any day lately.
-- guards against: a bot, or logs of another shop
-- severity: warn
-- remedy: see who they are of; where they are no visitors', keep their files out of events.sources
-- reads: measured
-- parameters: $max_volume
select
    cast(value as bigint) as events,
    cast($max_volume * most as bigint) as at_most
from measured
where measure = 'events' and value > $max_volume * most
