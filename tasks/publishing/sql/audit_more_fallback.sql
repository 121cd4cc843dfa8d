-- check: the share of fallback rows, of users' lists and of items', has not risen by more than some points.
-- guards against: a model whose vocabulary is not this shop's, ids that changed their form
-- severity: refuse
-- severity of kept weights: warn
-- remedy: compare the ids of tonight's events with those of the day before, and see which model was loaded;
--     if that many items are new, let this run pass with audits.max_fallback_rise = 1
-- reads: measures
-- parameters: $max_fallback_rise
select
    measure,
    round(before, 4) as before,
    round(tonight, 4) as tonight,
    $max_fallback_rise as may_rise_by
from measures
where measure in ('user_fallback_share', 'item_fallback_share') and tonight > before + $max_fallback_rise
