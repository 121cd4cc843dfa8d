-- The lines of a piece, each with the part of the accounting that it belongs to: the first that fits.
-- grain: line
-- reads: typed, forgotten_users: those of its users who were erased
-- parameters: $first_day, $last_day
select
    line,
    user_id,
    item_id,
    event_time,
    session_id,
    tie_break,
    event_type,
    weight,
    event_day,
    reason,
    raw,
    case
        when reason is not null then 'rejected'
        when cast(user_id as varchar) in (select forgotten_users.user_id from forgotten_users)
            then 'forgotten'
        when event_day is null or event_day not between $first_day and $last_day then 'outside'
        else 'accepted'
    end as part
from typed
