-- One row for each row of a Parquet file, its columns under our names.
-- grain: row of the file
-- reads: picked(row_number from 0, user_id, item_id, moment_number, moment_text, moment_time, session_id)
-- parameters: none
select
    row_number + 1 as line,
    cast(
        {
            'user': user_id,
            'item': item_id,
            'timestamp': coalesce(
                cast(moment_number as varchar), moment_text, cast(moment_time as varchar)
            ),
            'session': session_id
        } as varchar
    ) as raw,
    user_id,
    item_id,
    moment_number,
    moment_text,
    moment_time,
    session_id,
    cast(null as varchar) as fault
from picked
