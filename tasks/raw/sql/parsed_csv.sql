-- One row for each record of a chunk of CSV, whose fields or fault were found while splitting it.
-- grain: record
-- reads: chunk(line, raw blob, user_id, item_id, moment, session_id, tie_break, event_type, event_id,
--     fields, fault)
-- parameters: none
select
    line,
    coalesce(
        try(decode(raw)), regexp_replace(left(cast(raw as varchar), 1000), '(\\x0D)?(\\x0A)?$', '')
    ) as raw,
    user_id,
    item_id,
    cast(null as double) as moment_number,
    moment as moment_text,
    cast(null as timestamp) as moment_time,
    session_id,
    tie_break,
    event_type,
    event_id,
    fields,
    fault
from chunk
