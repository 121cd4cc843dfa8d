-- How many users were recommended one item, and at which rank at best.
-- grain: one row
-- reads: user_recommendations
-- parameters: $asked
select
    count(*) as users,
    min(rank) as best_rank
from user_recommendations
where item_id = $asked
