-- Has a file a line that can become an event and says whose it is?
-- grain: one row
-- reads: candidates
-- parameters: $source_file
select count(*) > 0 as is_any
from candidates
where source_file = $source_file and user_id is not null
