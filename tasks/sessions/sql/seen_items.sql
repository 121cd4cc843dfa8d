-- The distinct items of every active user in the window.
-- grain: user
-- reads: window_events
-- parameters: $since (UTC)
select
    user_id,
    list(distinct item_id order by item_id) as items
from window_events
where user_id is not null
group by user_id
having max(event_time) >= $since
order by user_id
