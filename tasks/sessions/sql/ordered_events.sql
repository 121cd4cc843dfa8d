-- Events in the order in which they are cut: each user's, or each given session's, oldest first.
-- grain: event, in order
-- reads: events_to_cut, removed_days
-- parameters: $sessions_given; $first_bucket to $last_bucket of $buckets, of users by the md5 of their id
select
    user_id,
    case when $sessions_given then session_id end as given_id,
    item_id,
    event_time
from events_to_cut
where
    (
        $last_bucket - $first_bucket + 1 = $buckets
        or md5_number_lower(coalesce(cast(user_id as varchar), session_id, '')) % $buckets
        between $first_bucket and $last_bucket
    )
    and not exists (
        select 1
        from removed_days
        where
            removed_days.user_id = events_to_cut.user_id
            and events_to_cut.event_time between removed_days.first_time and removed_days.last_time
    )
order by user_id, given_id, event_time, place, item_id
