-- check: of the items that a configured file names, some have had an event.
-- guards against: a rule that never applies: ids of another column, of another form, of another shop
-- severity: warn
-- remedy: not one of these ids is an item of the events; check that rules.id and items.id name the column of
--     the events' ids; if the files are right, the rule has nothing to do tonight
-- reads: known_items, audited_catalogue
-- parameters: none
with named as (
    select
        'rules.never_show' as setting,
        cast(item_id as varchar) as item
    from known_items
    where never_show
    union all
    select
        'rules.in_stock' as setting,
        cast(item_id as varchar) as item
    from known_items
    where in_stock
    union all
    select
        'items.source' as setting,
        cast(item_id as varchar) as item
    from known_items
    where name is not null or category is not null
)

select
    named.setting,
    count(*) as ids,
    min(named.item) as one_of_them
from named
left join audited_catalogue as catalogue on named.item = catalogue.item
group by named.setting
having count(catalogue.item) = 0
order by named.setting
