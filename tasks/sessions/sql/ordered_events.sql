-- Events in the order in which they are cut: each user's, or each given session's, oldest first.
-- grain: event, in order
-- reads: events_to_cut, removed_days
-- parameters: $sessions_given; users from $first_user to before $end_user, where these are not null, nobody
--   being after all of them; $first_bucket to $last_bucket of $buckets, of users by the md5 of their id
with asked as (
    select
        user_id,
        case when $sessions_given then session_id end as given_id,
        item_id,
        event_time,
        place
    from events_to_cut
    where
        ($end_user is null or user_id < $end_user)
        and ($first_user is null or user_id >= $first_user or ($end_user is null and user_id is null))
        and (
            $last_bucket - $first_bucket + 1 = $buckets
            or md5_number_lower(coalesce(cast(user_id as varchar), session_id, '')) % $buckets
            between $first_bucket and $last_bucket
        )
)

select
    asked.user_id,
    asked.given_id,
    asked.item_id,
    asked.event_time
from asked
anti join removed_days
    on
        asked.user_id = removed_days.user_id
        and asked.event_time between removed_days.first_time and removed_days.last_time
order by asked.user_id, asked.given_id, asked.event_time, asked.place, asked.item_id
