-- Steps with their part: a session whose last step lies before the cut is of train, any other of test.
-- grain: step
-- reads: whole
-- parameters: cut
with sessions as (
    select
        session_id,
        max(moment) as ended_at
    from whole
    group by session_id
)

select
    whole.* replace (case when sessions.ended_at < $cut then 'train' else 'test' end as part)
from whole
inner join sessions using (session_id)
