-- Sessions: a user's events, cut where more than the gap passes without one, or by the given session ids.
-- A gap of exactly $gap_microseconds still belongs to the session. Repeats are collapsed after cutting, so
-- they move no start; of sessions longer than $max_length the newest items are kept; the shortest are there
-- too, since one click can be all that a user did last. A derived id is the md5 of start and user: the same
-- whatever the order in which events arrived.
-- grain: session (user_id, session_id)
-- reads: events_to_cut, clock(since, until, ahead): how far local time is ahead of UTC
-- parameters: $gap_microseconds, $sessions_given, $collapse, $max_length, $bucket of $buckets
with events as (
    select
        user_id,
        item_id,
        event_time,
        event_id,
        case when $sessions_given then session_id end as given_id
    from events_to_cut
    where $buckets = 1 or md5_number_lower(cast(user_id as varchar)) % $buckets = $bucket
),

ordered as (
    select
        user_id,
        item_id,
        event_time,
        given_id,
        row_number() over in_time as place,
        lag(event_time) over in_time as previous_time,
        lag(item_id) over in_time as previous_item
    from events
    window in_time as (partition by user_id, given_id order by event_time, item_id, event_id)
),

cut as (
    select
        *,
        previous_time is null or (
            not $sessions_given
            and epoch_us(event_time) - epoch_us(previous_time) > $gap_microseconds
        ) as is_first
    from ordered
),

numbered as (
    select
        *,
        count(*) filter (where is_first) over (
            partition by user_id, given_id
            order by place
            rows unbounded preceding
        ) as number_of_user,
        is_first or not $collapse or item_id <> previous_item as is_kept
    from cut
),

grouped as (
    select
        user_id,
        given_id,
        min(event_time) as started_at,
        max(event_time) as ended_at,
        list(item_id order by place) filter (where is_kept) as items,
        list(event_time order by place) filter (where is_kept) as times
    from numbered
    group by user_id, given_id, number_of_user
),

identified as (
    select
        coalesce(given_id, md5(concat_ws(' ', epoch_us(started_at), user_id))) as session_id,
        user_id,
        started_at,
        ended_at,
        items[greatest(1, len(items) - $max_length + 1):] as items,
        times[greatest(1, len(times) - $max_length + 1):] as times
    from grouped
)

select
    identified.*,
    cast(identified.started_at + clock.ahead as date) as session_day
from identified
left join clock on identified.started_at >= clock.since and identified.started_at < clock.until
