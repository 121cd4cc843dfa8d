-- How many users or items have recommendations, however many each has.
-- grain: one row
-- reads: ranked (a table of recommendations)
select count(*) as asked
from ranked
where rank = 1
