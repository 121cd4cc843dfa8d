-- The lines of a piece that are refused.
-- grain: line
-- reads: piece
-- parameters: $source_file
select
    cast($source_file as varchar) as source_file,
    line,
    reason,
    raw
from piece
where reason is not null
