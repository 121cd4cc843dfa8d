-- Events of a range of users, and of some of their fixed buckets.
-- grain: event
-- reads: events_to_cut
-- parameters: users from $first_user to before $end_user, where these are not null, nobody being after all of
--   them; $first_bucket to $last_bucket of $buckets, of users by the md5 of their id
select
    user_id,
    session_id,
    item_id,
    event_time,
    place
from events_to_cut
where
    ($end_user is null or user_id < $end_user)
    and ($first_user is null or user_id >= $first_user or user_id is null)
    and (
        $last_bucket - $first_bucket + 1 = $buckets
        or md5_number_lower(coalesce(cast(user_id as varchar), session_id, '')) % $buckets
        between $first_bucket and $last_bucket
    )
