-- One row for each line of a chunk of NDJSON, its fields taken out or the fault named.
-- grain: line
-- reads: chunk(line, raw blob)
-- parameters: $values: JSON pointers to user, item, moment, session, tie_break, event_type and event_id,
-- and behind these, where names have dots, others to be taken where there is nothing at the first;
-- $objects: pointers to the objects on the way; $names: keys of them that may not stand twice. Without
-- dots, and where only what no line may lack is asked for, more keys than names are one key twice.
-- $asked: how many, further ones behind those named; $may_lack: does a line with all it needs lack some?
-- $sessions_given, $tie_break_given, $event_type_given, $event_id_given; $longest: bytes of the longest
-- line looked at.
with decoded as (
    select
        line,
        raw,
        octet_length(raw) > $longest as is_too_long,
        case when octet_length(raw) <= $longest then try(decode(raw)) end as line_text
    from chunk
),

checked as (
    select
        line,
        line_text,
        coalesce(
            line_text, regexp_replace(left(cast(raw as varchar), 1000), '(\\x0D)?(\\x0A)?$', '')
        ) as raw,
        case
            when is_too_long then 'line too long'
            when line_text is null then 'invalid utf-8'
            when trim(line_text, e' \t\r\n') = '' then 'blank line'
            when not json_valid(line_text) then 'malformed json'
            when json_type(line_text) <> 'OBJECT' then 'not a json object'
        end as fault
    from decoded
),

fields as (
    select
        line,
        raw,
        fault,
        case
            when fault is null then json_extract(line_text, $values)
        end as field,
        case
            when fault is not null then null
            when len($objects) = 1
                then [list_filter(json_keys(line_text), lambda key: list_contains($names, key))]
            else
                list_transform(
                    json_keys(line_text, $objects),
                    lambda keys: list_filter(keys, lambda key: list_contains($names, key))
                )
        end as keys
    from checked
),

found as (
    select
        line,
        raw,
        fault,
        case
            when len($values) = $asked then field
            else [coalesce(field[place], field[place + $asked]) for place in range(1, $asked + 1)]
        end as field,
        case
            when len($objects) = 1 and not $may_lack
                then len(keys[1]) > len($names)
            else len(list_filter(keys, lambda found: len(found) > len(list_distinct(found)))) > 0
        end as is_ambiguous
    from fields
),

typed as (
    select
        line,
        raw,
        fault,
        is_ambiguous,
        json_type(field[1]) as user_kind,
        json_type(field[2]) as item_kind,
        json_type(field[3]) as moment_kind,
        json_type(field[4]) as session_kind,
        json_type(field[7]) as event_kind,
        field[1] ->> '$' as user_id,
        field[2] ->> '$' as item_id,
        field[3] ->> '$' as moment,
        field[4] ->> '$' as session_id,
        field[5] ->> '$' as tie_break,
        field[6] ->> '$' as event_type,
        field[7] ->> '$' as event_id,
        [one ->> '$' for one in field[8:]] as fields
    from found
)

select
    line,
    raw,
    user_id,
    item_id,
    cast(null as double) as moment_number,
    moment as moment_text,
    cast(null as timestamp) as moment_time,
    case when $sessions_given then session_id end as session_id,
    case when $tie_break_given then tie_break end as tie_break,
    case when $event_type_given then event_type end as event_type,
    case when $event_id_given then event_id end as event_id,
    fields,
    case
        when fault is not null then fault
        when is_ambiguous then 'repeated key'
        when user_kind not in ('VARCHAR', 'BIGINT', 'UBIGINT', 'NULL') then 'user is neither text nor integer'
        when item_kind not in ('VARCHAR', 'BIGINT', 'UBIGINT', 'NULL') then 'item is neither text nor integer'
        when moment_kind not in ('VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE', 'NULL') then 'bad timestamp'
        when
            $sessions_given and session_kind not in ('VARCHAR', 'BIGINT', 'UBIGINT', 'NULL')
            then 'session is neither text nor integer'
        when
            $event_id_given and event_kind not in ('VARCHAR', 'BIGINT', 'UBIGINT', 'NULL')
            then 'event id is neither text nor integer'
    end as fault
from typed
