-- The clean events of one day; of exact repetitions (same user, item, time, session) one is kept.
-- event_id is the md5 of those four values with the lengths of the texts, so that no two events share one.
-- grain: event
-- reads: candidates
-- parameters: $day
select
    md5(
        concat_ws(
            ' ',
            length(cast(user_id as varchar)),
            user_id,
            length(cast(item_id as varchar)),
            item_id,
            epoch_us(event_time),
            session_id
        )
    ) as event_id,
    user_id,
    item_id,
    event_time,
    session_id,
    min(source_file) as source_file,
    $day as event_day
from candidates
where event_day = $day
group by user_id, item_id, event_time, session_id
order by user_id, event_time, event_id
