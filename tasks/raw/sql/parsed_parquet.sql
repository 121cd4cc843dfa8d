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
                cast(moment_number as varchar), cast(moment_text as varchar), cast(moment_time as varchar)
            ),
            'session': cast(session_id as varchar)
        } as varchar
    ) as raw,
    user_id,
    item_id,
    cast(moment_number as double) as moment_number,
    cast(moment_text as varchar) as moment_text,
    cast(moment_time as timestamp) as moment_time,
    cast(session_id as varchar) as session_id,
    cast(null as varchar) as fault
from picked
