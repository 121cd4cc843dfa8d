-- The clean events of one day; of exact repetitions (same user, item, time, session, type, mark) the
-- first is kept, by source_file and line. event_id is the md5 of those values with the lengths of the
-- texts, so that no two events share one, and the mark behind it where there is one: the md5 of the
-- line's own id of the event. Of a user's events of one instant, `place` counts 1, 2, 3 ...: by
-- tie_break, numbers before text before none, then by where they stand in the files: their spot, which
-- numbers all lines.
-- grain: event
-- reads: candidates
-- parameters: $day
with of_day as (
    select *
    from candidates
    where event_day = $day
),

files as (
    select
        source_file,
        (row_number() over (order by source_file)) * 1099511627776 as spot -- 2^40: no file has more lines
    from of_day
    group by source_file
),

spotted as (
    select
        of_day.*,
        files.spot + of_day.line as spot
    from of_day
    inner join files on of_day.source_file = files.source_file
),

kept as (
    select
        user_id,
        item_id,
        event_time,
        session_id,
        event_type,
        mark,
        min(spot) as spot,
        arg_min(source_file, spot) as source_file,
        arg_min(line, spot) as line,
        arg_min_null(tie_break, spot) as tie_break,
        arg_min(weight, spot) as weight
    from spotted
    group by user_id, item_id, event_time, session_id, event_type, mark
)

select
    md5(
        concat_ws(
            ' ',
            'type ' || length(event_type) || ' ' || event_type,
            length(cast(user_id as varchar)),
            user_id,
            length(cast(item_id as varchar)),
            item_id,
            epoch_us(event_time),
            session_id
        )
    ) || coalesce('-' || mark, '') as event_id,
    user_id,
    item_id,
    event_time,
    session_id,
    source_file,
    line,
    tie_break,
    row_number() over (
        partition by user_id, event_time
        order by try_cast(tie_break as decimal(38, 9)), tie_break, spot
    ) as place,
    event_type,
    weight,
    $day as event_day
from kept
order by user_id, event_time, place
