-- The events that the days have of files that changed, and that none of tonight's lines tells any more.
-- grain: event
-- reads: standing, candidates: all others of these days, beside(source_file, event_day): of changed files,
--     forgotten_users: those of its users who were erased
-- parameters: none
select
    standing.source_file,
    coalesce(standing.line, 0) as line,
    standing.user_id,
    standing.item_id,
    standing.event_time,
    standing.session_id,
    standing.tie_break,
    standing.event_type,
    nullif(substr(standing.event_id, 34), '') as mark,
    coalesce(standing.weight, 1) as weight,
    standing.event_day
from standing
semi join beside on standing.source_file = beside.source_file and standing.event_day = beside.event_day
anti join candidates
    on
        standing.event_day = candidates.event_day
        and standing.event_time = candidates.event_time
        and standing.item_id = candidates.item_id
        and standing.user_id is not distinct from candidates.user_id
        and standing.session_id is not distinct from candidates.session_id
        and standing.event_type is not distinct from candidates.event_type
        and nullif(substr(standing.event_id, 34), '') is not distinct from candidates.mark
where
    standing.user_id is null
    or cast(standing.user_id as varchar) not in (select forgotten_users.user_id from forgotten_users)
