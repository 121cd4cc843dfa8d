-- check: lists have some items in common with those of the same user or item in the publication before.
-- guards against: item ids that were shifted or mixed up, the model of another shop, noise
-- severity: warn
-- remedy: look at lists of both nights side by side; a network that has little to learn from, or another
--     recipe, may well give other lists
-- reads: measures
-- parameters: $min_overlap
select
    measure,
    round(tonight, 4) as share_in_common,
    $min_overlap as at_least
from measures
where measure in ('user_overlap', 'item_overlap') and tonight < $min_overlap
