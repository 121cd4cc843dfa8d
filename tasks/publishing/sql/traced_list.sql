-- A list with the names of its items.
-- grain: rank
-- reads: listed, item_names
select
    listed.rank,
    listed.item_id,
    item_names.name,
    listed.score,
    listed.source,
    listed.model_version
from listed
left join item_names on listed.item_id = item_names.item_id
order by listed.rank
