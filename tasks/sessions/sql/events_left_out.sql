-- Events of the window that are in no session of the table, by the rule that left them out.
-- grain: rule
-- reads: cut_sessions, removed_spans
-- parameters: $first_day, $min_length
with sessions as (
    select
        events,
        repeats,
        len(items) as items
    from cut_sessions
    where session_day >= $first_day and not is_crowded
),

counted as (
    select
        rule,
        sum(events) as events
    from removed_spans
    where day >= $first_day
    group by rule
    union all
    select
        'min_length' as rule,
        sum(events) as events
    from sessions
    where items < $min_length
    union all
    select
        'repeats' as rule,
        sum(repeats) as events
    from sessions
    where items >= $min_length
    union all
    select
        'max_length' as rule,
        sum(events - repeats - items) as events
    from sessions
    where items >= $min_length
)

select
    rule,
    cast(events as bigint) as events
from counted
where events > 0
order by rule
