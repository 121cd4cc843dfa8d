-- The newest sessions of one user, and all that start on a day or later; each with whether the table of
-- sessions has it as the night has read it.
-- grain: session
-- reads: found, sessions
-- parameters: $most, $since (a day)
with newest as (
    select *
    from found
    qualify
        row_number() over (order by started_at desc, session_id desc) <= $most
        or session_day >= $since
)

select
    newest.session_id,
    newest.started_at,
    newest.ended_at,
    newest.items,
    newest.times,
    newest.session_day,
    sessions.session_id is not null as is_kept
from newest
left join sessions
    on
        newest.user_id = sessions.user_id
        and newest.session_id = sessions.session_id
        and newest.started_at = sessions.started_at
        and newest.items = sessions.items
order by newest.started_at desc, newest.session_id desc
