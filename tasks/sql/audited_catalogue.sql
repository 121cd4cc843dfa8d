-- Every item that ever had an event: a champion of last week may recommend what nobody looked at today.
-- grain: item
-- reads: events (all days)
select distinct cast(item_id as varchar) as item
from events
