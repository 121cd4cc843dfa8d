-- Items of some days with their events, each event by its weight. Weights are added as decimals, whose sum is
-- the same in any order.
-- grain: item
-- reads: window_events
-- parameters: none
select
    item_id,
    sum(cast(coalesce(weight, 1) as decimal(18, 6))) as score
from window_events
group by item_id
