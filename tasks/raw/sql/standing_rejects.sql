-- The refused lines that the night has already and keeps: of files that it took in and does not read again.
-- Files put aside, which have no line, are not among them.
-- grain: refused line
-- reads: standing
-- parameters: $files
select
    source_file,
    line,
    reason,
    raw
from standing
where list_contains($files, source_file) and line is not null
