-- check: no published item is one never to show, or out of stock.
-- guards against: rules that did not reach a list, lists made by yesterday's stock
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_items, known_items
-- parameters: $stock_given (is there a list of what is in stock? then no other item may be shown)
with told as (
    select
        shown.kind,
        shown.item,
        shown.rows,
        coalesce(known.never_show, false) as never_show,
        coalesce(known.in_stock, false) as in_stock
    from audited_items as shown
    left join known_items as known on shown.item = cast(known.item_id as varchar)
)

select
    kind,
    item,
    rows,
    never_show,
    if($stock_given, in_stock, true) as in_stock
from told
where never_show or ($stock_given and not in_stock)
