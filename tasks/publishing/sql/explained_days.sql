-- Local days that were left out whole, and by which rule.
-- grain: user, local day
-- reads: removed_days
-- parameters: none
select
    event_day as day,
    events,
    rule
from removed_days
order by event_day
