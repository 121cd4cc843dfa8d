-- Steps with the part that the publisher's files gave them.
-- grain: step
-- reads: whole
-- parameters: none
select *
from whole
