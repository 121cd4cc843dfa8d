-- What is known of each item: rows that say the same are one. Without a list of stock, in_stock is null.
-- grain: item
-- reads: listed
-- parameters: $integers (order ids as numbers?), $stock_given
select
    item_id,
    any_value(name) as name,
    any_value(category) as category,
    bool_or(setting = 'rules.never_show') as never_show,
    case when $stock_given then bool_or(setting = 'rules.in_stock') end as in_stock
from listed
group by item_id
order by case when $integers then cast(item_id as bigint) end, item_id
