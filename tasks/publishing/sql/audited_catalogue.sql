-- Items that had an event.
-- grain: item
-- reads: events (of the window, or of one older day)
select distinct cast(item_id as varchar) as item
from events
