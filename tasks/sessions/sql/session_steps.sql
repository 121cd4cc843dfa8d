-- Sessions of a file with session_id, item_id, timestamp, and their times; ties keep their order in the file.
-- grain: session
-- reads: steps
-- parameters: none
with placed as (
    select
        session_id,
        item_id,
        timestamp as moment,
        row_number() over () as place
    from steps
),

grouped as (
    select
        session_id,
        min(moment) as started_at,
        list(item_id order by moment, place) as items,
        list(moment order by moment, place) as times,
        count(*) filter (where session_id is null or item_id is null or moment is null) as missing,
        cast(min(moment) as varchar) in ('-inf', '-infinity')
        or cast(max(moment) as varchar) in ('inf', 'infinity', 'nan') as endless
    from placed
    group by session_id
)

select
    cast(session_id as varchar) as session_id,
    items,
    times,
    missing,
    coalesce(endless, false) as endless
from grouped
order by started_at, session_id
