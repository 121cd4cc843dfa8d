-- Steps without short sessions, then without rare items, then without the sessions that this made short.
-- grain: step
-- reads: steps
-- parameters: min_session_length, min_item_support
with long_sessions as (
    select session_id
    from steps
    group by session_id
    having count(*) >= $min_session_length
),

in_long_sessions as (
    select
        session_id,
        item_id,
        moment,
        place,
        part
    from steps
    where steps.session_id in (select long_sessions.session_id from long_sessions)
),

frequent_items as (
    select item_id
    from in_long_sessions
    group by item_id
    having count(*) >= $min_item_support
),

of_frequent_items as (
    select
        session_id,
        item_id,
        moment,
        place,
        part
    from in_long_sessions
    where in_long_sessions.item_id in (select frequent_items.item_id from frequent_items)
),

still_long_sessions as (
    select session_id
    from of_frequent_items
    group by session_id
    having count(*) >= $min_session_length
)

select
    session_id,
    item_id,
    moment,
    place,
    part
from of_frequent_items
where of_frequent_items.session_id in (select still_long_sessions.session_id from still_long_sessions)
