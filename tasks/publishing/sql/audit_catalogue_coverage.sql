-- check: the share of the window's items that any user's list has does not fall below a share of what it was.
-- guards against: a model that has forgotten most items, or a catalogue that was read twice under other ids
-- severity: refuse
-- severity of kept weights: warn
-- remedy: see which items are no longer recommended, and whether the window's items are the shop's; if it is
--     meant, let this run pass with audits.min_coverage = 0
-- reads: measures
-- parameters: $min_coverage
select
    measure,
    round(before, 4) as before,
    round(tonight, 4) as tonight,
    $min_coverage as at_least_this_share_of_before
from measures
where measure = 'catalogue_coverage' and tonight < $min_coverage * before
