-- What is known of each item: rows that say the same are one.
-- grain: item
-- reads: listed
-- parameters: $integers (order ids as numbers?)
select
    item_id,
    any_value(name) as name,
    any_value(category) as category
from listed
group by item_id
order by case when $integers then cast(item_id as bigint) end, item_id
