-- What came next after one item in the sessions that a night has read, most often first.
-- grain: next item
-- reads: sessions, item_names
-- parameters: $asked, $most
with steps as (
    select
        unnest(items[:-2]) as item_id,
        unnest(items[2:]) as next_item_id
    from sessions
    where list_contains(items, $asked)
),

counted as (
    select
        next_item_id,
        count(*) as times
    from steps
    where item_id = $asked
    group by next_item_id
)

select
    counted.next_item_id as item_id,
    item_names.name,
    counted.times
from counted
left join item_names on counted.next_item_id = item_names.item_id
order by counted.times desc, counted.next_item_id asc
limit $most
