-- Every item of the window, those with the most events first, each event by its weight; ties by item id.
-- Decimals are added, whose sum is the same in any order.
-- grain: rank
-- reads: counted_items, of each piece of the window
-- parameters: none
with counted as (
    select
        item_id,
        cast(sum(score) as double) as score
    from counted_items
    group by item_id
)

select
    cast(row_number() over (order by score desc, item_id asc) as integer) as rank,
    item_id,
    score
from counted
order by rank
