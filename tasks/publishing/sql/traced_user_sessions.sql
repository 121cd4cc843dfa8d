-- The newest sessions of one user, each with whether the table of sessions has it as the night has read it.
-- grain: session
-- reads: found, sessions
-- parameters: $most
select
    found.session_id,
    found.started_at,
    found.ended_at,
    found.items,
    found.times,
    sessions.session_id is not null as is_kept
from found
left join sessions
    on
        found.user_id = sessions.user_id
        and found.session_id = sessions.session_id
        and found.items = sessions.items
order by found.started_at desc, found.session_id desc
limit $most
