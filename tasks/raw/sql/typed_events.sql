-- Parsed lines as typed events with their local day, or with the reason why they are refused.
-- Numbers are told apart by size when the unit is auto: seconds below 1e11 (year 5138), milliseconds below
-- 1e14, microseconds below 1e17, nanoseconds above. Nanoseconds are taken from their digits, as a double has
-- too few, and cut to microseconds. Text without an offset is UTC; a zone's name in a text is refused, as its
-- rules would be DuckDB's own, and so is an offset that is none (+25:00), which DuckDB would take. An event
-- outside of the clock has no local day. `left_out` says why a line does not count, whatever else it lacks:
-- its type, where types are given, or events.where. Without a user a given session is one to learn from.
-- grain: line
-- reads: counted (parsed, with the verdict of events.where: null where it fails), counted_types(event_type,
-- weight), clock(since, until, ahead): how far local time is ahead of UTC, over the wanted days
-- parameters: $unit (auto, s, ms, us, ns, iso), $format (of strptime, then the only one; else ''),
-- $earliest and $latest (the times we believe), $sessions_given, $types_given, $longest_id (characters)
with amounts as (
    select
        *,
        case
            when $unit <> 'iso' and $format = ''
                then coalesce(moment_number, try_cast(moment_text as double))
        end as amount,
        case
            when $unit in ('auto', 'ns') or $format <> ''
                then coalesce(moment_text, cast(moment_number as varchar))
        end as digits
    from counted
),

scaled as (
    select
        *,
        case
            when amount is null then null
            when $unit = 's' or ($unit = 'auto' and abs(amount) < 1e11) then amount * 1e6
            when $unit = 'ms' or ($unit = 'auto' and abs(amount) < 1e14) then amount * 1e3
            when $unit = 'us' or ($unit = 'auto' and abs(amount) < 1e17) then amount
            when regexp_full_match(digits, '\s*\+?\d+(\.\d*)?\s*')
                then coalesce(try_cast(split_part(digits, '.', 1) as hugeint) // 1000, amount)
            else floor(amount / 1e3)
        end as microseconds
    from amounts
),

timed as (
    select
        *,
        case
            when moment_time is not null then moment_time
            when
                ends_with($format, '%z')
                and not regexp_matches(digits, '[+-](0\d|1[0-5])(:?[0-5]\d){0,2}\s*$')
                then null
            when $format <> '' then make_timestamp(epoch_us(try_strptime(digits, nullif($format, ''))))
            when microseconds between epoch_us($earliest) and epoch_us($latest)
                then make_timestamp(cast(round(microseconds) as bigint))
            when
                microseconds is null
                and $unit in ('auto', 'iso')
                and regexp_matches(
                    moment_text,
                    '^\s*\d{4}-\d\d-\d\d([T ][\d:.]+\s*([zZ]|UTC|GMT|[+-](0\d|1[0-5])(:?[0-5]\d){0,2})?)?\s*$'
                )
                then make_timestamp(epoch_us(try_cast(moment_text as timestamptz)))
        end as event_time
    from scaled
),

of_types as (
    select
        timed.*,
        counted_types.weight as weight_of_type
    from timed
    left join counted_types on trim(timed.event_type) = counted_types.event_type
),

weighed as (
    select
        *,
        if($types_given, weight_of_type, 1) as weight,
        case
            when fault is not null then null
            when $types_given and weight_of_type is null
                then 'type ' || coalesce(left(nullif(trim(event_type), ''), 100), '(none)')
            when verdict is not null and struct_extract(verdict, 'passes') is not true then 'events.where'
        end as left_out
    from of_types
),

judged as (
    select
        *,
        coalesce(trim(cast(user_id as varchar)), '') = '' as is_anonymous,
        case
            when fault is not null then fault
            when left_out is not null then null
            when verdict is null then 'events.where cannot be worked out'
            when is_anonymous and not $sessions_given then 'missing user'
            when item_id is null or trim(cast(item_id as varchar)) = '' then 'missing item'
            when length(cast(user_id as varchar)) > $longest_id then 'user id too long'
            when length(cast(item_id as varchar)) > $longest_id then 'item id too long'
            when moment_number is null and moment_time is null and coalesce(trim(moment_text), '') = ''
                then 'missing timestamp'
            when $sessions_given and coalesce(trim(session_id), '') = '' then 'missing session'
            when $sessions_given and length(session_id) > $longest_id then 'session id too long'
            when length(tie_break) > $longest_id then 'tie-break too long'
            when length(event_type) > $longest_id then 'event type too long'
            when length(event_id) > $longest_id then 'event id too long'
            when event_time is null and microseconds is null then 'bad timestamp'
            when event_time is null or event_time < $earliest or event_time >= $latest
                then 'timestamp out of range'
        end as reason
    from weighed
),

placed as (
    select
        judged.*,
        cast(judged.event_time + clock.ahead as date) as local_day
    from judged
    left join clock on judged.event_time >= clock.since and judged.event_time < clock.until
)

select
    line,
    case when not is_anonymous then user_id end as user_id,
    item_id,
    event_time,
    case when $sessions_given then session_id end as session_id,
    nullif(trim(tie_break), '') as tie_break,
    nullif(trim(event_type), '') as event_type,
    nullif(trim(event_id), '') as event_id,
    weight,
    case when reason is null and left_out is null then local_day end as event_day,
    left_out,
    reason,
    case when reason is not null then rtrim(left(raw, 1000), e'\r\n') end as raw
from placed
