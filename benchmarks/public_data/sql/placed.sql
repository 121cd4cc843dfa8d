-- Steps with their place in the raw files, which breaks ties of time, and the part their file is of.
-- grain: step
-- reads: picked
-- parameters: taken (places of earlier files), part
select
    session_id,
    item_id,
    moment,
    $taken + row_number() over () as place,
    cast($part as varchar) as part
from picked
