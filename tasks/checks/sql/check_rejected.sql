-- check: not a much larger share of lines is refused than on the last 7 nights.
-- guards against: a source that changed its form
-- severity: warn
-- remedy: look at the night's rejects by reason; where they are no events, raise checks.max_rejected_rise
-- reads: measured
-- parameters: $max_rejected_rise
select
    round(value, 4) as share_of_lines,
    round(most, 4) as most
from measured
where measure = 'rejected' and value > most + $max_rejected_rise
