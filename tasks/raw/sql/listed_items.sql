-- Rows of a piece of a list of items, as text; blank is null, but an id is kept as it came.
-- grain: row of the file
-- reads: picked(line, item_id, name, category)
-- parameters: $name (of the file), $key (that names it)
select
    $key as setting,
    $name as file,
    line,
    cast(item_id as varchar) as item_id,
    nullif(trim(cast(name as varchar)), '') as name,
    nullif(trim(cast(category as varchar)), '') as category
from picked
