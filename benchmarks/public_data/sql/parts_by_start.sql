-- Steps with their part: a session whose first step lies before the cut is of train, without its steps from
-- the cut on; any other is of test.
-- grain: step
-- reads: whole
-- parameters: cut
with started as (
    select
        session_id,
        item_id,
        moment,
        place,
        min(moment) over (partition by session_id) as started_at
    from whole
)

select
    session_id,
    item_id,
    moment,
    place,
    case when started_at < $cut then 'train' else 'test' end as part
from started
where started_at >= $cut or moment < $cut
