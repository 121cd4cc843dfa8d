-- check: visitors of the night's day do not all have the very list they had before.
-- guards against: lists made from the sessions of the day before
-- severity: warn
-- remedy: see that tonight's sessions hold the night's events; popularity as the published model gives
--     everybody the same list, and may well give it again
-- reads: measures
-- parameters: $max_sameness
select
    measure,
    round(tonight, 4) as share_of_visitors,
    $max_sameness as at_most
from measures
where measure = 'visitor_sameness' and tonight > $max_sameness
