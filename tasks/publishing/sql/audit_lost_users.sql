-- check: users of the publication before who, by its own events, are active still, have a list.
-- guards against: a day of the window whose logs were removed, or read as nothing
-- severity: refuse
-- remedy: look which day of the window has lost its events, bring its logs back, and run the night again; if
--     the users were removed on purpose, let this run pass with audits.min_users_kept = 0
-- reads: measures
-- parameters: $min_users_kept
select
    measure,
    round(tonight, 4) as share,
    $min_users_kept as at_least
from measures
where measure = 'users_kept' and tonight < $min_users_kept
