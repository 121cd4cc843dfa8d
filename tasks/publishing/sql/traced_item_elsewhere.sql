-- Days other than those that a night has read on which one item was seen.
-- grain: one row
-- reads: other_events
-- parameters: $asked
select
    min(event_day) as first_day,
    max(event_day) as last_day
from other_events
where item_id = $asked
