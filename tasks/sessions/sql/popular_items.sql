-- Every item of the window, those with the most events first, each event by its weight; ties by item id.
-- Weights are added as decimals, whose sum is the same in any order.
-- grain: rank
-- reads: window_events
-- parameters: none
with counted as (
    select
        item_id,
        cast(sum(cast(coalesce(weight, 1) as decimal(18, 6))) as double) as score
    from window_events
    group by item_id
)

select
    cast(row_number() over (order by score desc, item_id asc) as integer) as rank,
    item_id,
    score
from counted
order by rank
