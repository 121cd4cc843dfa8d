-- Events without those of no visitor.
-- grain: event
-- reads: every_event, removed_spans
-- parameters: none
select
    event_id,
    user_id,
    item_id,
    event_time,
    session_id,
    source_file,
    line,
    tie_break,
    place,
    event_type,
    weight,
    event_day
from every_event
where
    not exists (
        select 1
        from removed_spans
        where
            removed_spans.user_id is not distinct from every_event.user_id
            and every_event.event_time between removed_spans.first_time and removed_spans.last_time
            and (removed_spans.given_id is null or removed_spans.given_id = every_event.session_id)
    )
