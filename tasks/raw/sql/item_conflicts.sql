-- The first item of which two rows say different things, with both of them.
-- grain: one row, or none
-- reads: listed
-- parameters: none
with told as (
    select
        item_id,
        file,
        line,
        name,
        category,
        first_value(name) over in_order as first_name,
        first_value(category) over in_order as first_category,
        first_value(file) over in_order as first_file,
        first_value(line) over in_order as first_line
    from listed
    where setting = 'items.source'
    window in_order as (partition by item_id order by file, line)
)

select
    item_id,
    first_file,
    first_line,
    first_name,
    first_category,
    file,
    line,
    name,
    category
from told
where name is distinct from first_name or category is distinct from first_category
order by file, line
limit 1
