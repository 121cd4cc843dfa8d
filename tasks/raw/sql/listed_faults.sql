-- The first row of a list of items that cannot be taken, and how many there are.
-- grain: one row, or none
-- reads: listed
-- parameters: $integers (are the events' item ids integers?), $longest (characters)
with judged as (
    select
        file,
        line,
        item_id,
        case
            when item_id is null or trim(item_id) = '' then 'expected an item id'
            when length(item_id) > $longest
                then 'expected an item id of at most ' || $longest || ' characters'
            when
                $integers
                and (not regexp_matches(item_id, '^(0|-?[1-9]\d*)$') or try_cast(item_id as bigint) is null)
                then 'expected an integer, as item ids of the events are'
            when regexp_matches(item_id, '^[\s\x{A0}]|[\s\x{A0}]$')
                then 'expected an item id without blanks around it, which would be another id to the events'
            when length(name) > $longest then 'expected a name of at most ' || $longest || ' characters'
            when length(category) > $longest
                then 'expected a category of at most ' || $longest || ' characters'
        end as fault
    from listed
)

select
    file,
    line,
    fault,
    left(item_id, 100) as item_id,
    count(*) over () as faults
from judged
where fault is not null
order by file, line
limit 1
