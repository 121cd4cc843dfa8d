-- Every item of the window, those with the most events first, ties by item id.
-- grain: rank
-- reads: window_events
-- parameters: none
with counted as (
    select
        item_id,
        cast(count(*) as double) as score
    from window_events
    group by item_id
)

select
    cast(row_number() over (order by score desc, item_id asc) as integer) as rank,
    item_id,
    score
from counted
order by rank
