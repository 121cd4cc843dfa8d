-- Why lines were refused, the most frequent reason first; the first lines of each as examples.
-- grain: reason
-- reads: rejects
-- parameters: $most (examples of each reason)
with counted as (
    select
        reason,
        count(*) as lines,
        count(distinct source_file) as files
    from rejects
    where line is not null
    group by reason
),

first_lines as (
    select
        reason,
        source_file,
        line,
        raw
    from rejects
    where line is not null
    qualify row_number() over (partition by reason order by source_file, line) <= $most
),

examples as (
    select
        reason,
        list(
            struct_pack(file := source_file, line := line, text := raw) order by source_file, line
        ) as examples
    from first_lines
    group by reason
)

select
    counted.reason,
    counted.lines,
    counted.files,
    coalesce(examples.examples, []) as examples
from counted
left join examples on counted.reason = examples.reason
order by counted.lines desc, counted.reason asc
