-- Events in the order in which they are cut: each user's, or each given session's, oldest first.
-- grain: event, in order
-- reads: events_of_pass, removed_days
-- parameters: $sessions_given
with named as (
    select
        user_id,
        case when $sessions_given then session_id end as given_id,
        item_id,
        event_time,
        place
    from events_of_pass
)

select
    named.user_id,
    named.given_id,
    named.item_id,
    named.event_time
from named
anti join removed_days
    on
        named.user_id = removed_days.user_id
        and named.event_time between removed_days.first_time and removed_days.last_time
order by named.user_id, named.given_id, named.event_time, named.place, named.item_id
