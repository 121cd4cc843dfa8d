-- The events that the days have already and keep: those of files that the night does not take them from
-- anew. Of rows of before lines were kept, which come first, nobody knows the line. `mark` stands behind
-- the first 32 signs of event_id and a hyphen, where the event's line gave it an id.
-- grain: event
-- reads: standing, taken(source_file, event_day), forgotten_users: those of its users who were erased
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
anti join taken on standing.source_file = taken.source_file and standing.event_day = taken.event_day
where
    standing.user_id is null
    or cast(standing.user_id as varchar) not in (select forgotten_users.user_id from forgotten_users)
