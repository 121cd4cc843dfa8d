-- Steps with their part: a session whose first step lies before the cut is of train, without its steps from the
-- cut on; any other is of test.
-- grain: step
-- reads: whole
-- parameters: cut
with sessions as (
    select
        session_id,
        min(moment) as started_at
    from whole
    group by session_id
)

select
    whole.* replace (case when sessions.started_at < $cut then 'train' else 'test' end as part)
from whole
inner join sessions using (session_id)
where sessions.started_at >= $cut or whole.moment < $cut
