-- One row for each row of a Parquet file, its columns under our names.
-- grain: row of the file
-- reads: picked(row_number from 0, user_id, item_id, moment_number, moment_text, moment_time, session_id,
--     tie_break, event_type, event_id, fields)
-- parameters: $user_is_integer, $item_is_integer, $yielded: by events.query, which may have cast JSON to text
select
    row_number + 1 as line,
    cast(
        {
            'user': user_id,
            'item': item_id,
            'timestamp': coalesce(
                cast(moment_number as varchar), cast(moment_text as varchar), cast(moment_time as varchar)
            ),
            'session': cast(session_id as varchar)
        } as varchar
    ) as raw,
    user_id,
    item_id,
    moment_number,
    cast(moment_text as varchar) as moment_text,
    cast(moment_time as timestamp) as moment_time,
    cast(session_id as varchar) as session_id,
    cast(tie_break as varchar) as tie_break,
    cast(event_type as varchar) as event_type,
    cast(event_id as varchar) as event_id,
    fields,
    case
        when $user_is_integer and user_id is not null and try_cast(user_id as bigint) is null
            then 'user id too large'
        when $item_is_integer and item_id is not null and try_cast(item_id as bigint) is null
            then 'item id too large'
        when $yielded and not $user_is_integer and cast(user_id as varchar) like '"%"'
            then 'user id in quotes'
        when $yielded and not $item_is_integer and cast(item_id as varchar) like '"%"'
            then 'item id in quotes'
    end as fault
from picked
