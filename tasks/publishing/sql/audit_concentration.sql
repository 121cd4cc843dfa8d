-- check: recommendations have not moved together on few items: 1 - Gini is at least a share of what it was.
-- guards against: a model that has collapsed, and gives everybody the same list
-- severity: refuse
-- severity of kept weights: warn
-- remedy: look at the training's losses and at the items that have most rows; if it is meant, as
--     of popularity after another model, let this run pass with audits.min_evenness = 0
-- reads: measures
-- parameters: $min_evenness
select
    measure,
    round(before, 4) as before,
    round(tonight, 4) as tonight,
    round(1 - $min_evenness * (1 - before), 4) as at_most
from measures
where measure = 'gini' and 1 - tonight < $min_evenness * (1 - before)
