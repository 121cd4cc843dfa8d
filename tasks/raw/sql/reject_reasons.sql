-- Why lines of these files were refused, most frequent reason first, with the first such line.
-- grain: reason
-- reads: refused
-- parameters: $files: names of files
select
    reason,
    count(*) as lines,
    arg_min(source_file || ' line ' || line, (source_file, line)) as example
from refused
where list_contains($files, source_file)
group by reason
order by lines desc, reason asc
