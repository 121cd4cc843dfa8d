-- The keys that the objects of a chunk of NDJSON have.
-- grain: key
-- reads: chunk(line, raw blob)
-- parameters: none
with decoded as (
    select try(decode(raw)) as line_text from chunk
),

objects as (
    select line_text
    from decoded
    where case when json_valid(line_text) then json_type(line_text) = 'OBJECT' else false end
)

select distinct unnest(json_keys(line_text)) as key
from objects
