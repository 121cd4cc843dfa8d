-- The newest 1/n of the sessions, by their last step; rounded up.
-- grain: step
-- reads: whole
-- parameters: one_of
with sessions as (
    select
        session_id,
        max(moment) as ended_at
    from whole
    group by session_id
),

chosen as (
    select session_id
    from sessions
    qualify
        row_number() over (order by ended_at desc, session_id asc)
        <= ceil(count(*) over () / $one_of)
)

select
    session_id,
    item_id,
    moment,
    place,
    part
from whole
where whole.session_id in (select chosen.session_id from chosen)
