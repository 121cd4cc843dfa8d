-- check: each type of events has about the share of the night's day that it had on the last 7 nights.
-- guards against: part of one type's logs not delivered, or delivered twice
-- severity: warn
-- remedy: bring the logs of the type that is short, then run the night again; where visitors do other things
--     now, raise checks.max_type_change
-- reads: measured
-- parameters: $max_type_change
-- Of fewer than 100 events chance alone is such a change.
with types as (
    select
        substr(measured.measure, len('type ') + 1) as event_type,
        measured.value,
        measured.least,
        measured.most,
        of_all.value as events
    from measured
    inner join measured as of_all on starts_with(measured.measure, 'type ') and of_all.measure = 'events'
)

select
    event_type,
    round(value, 4) as share_of_events,
    round(least, 4) as least,
    round(most, 4) as most
from types
where
    (value < least * (1 - $max_type_change) and least * events >= 100)
    or (value > most * (1 + $max_type_change) and value * events >= 100)
