-- What one user was recommended.
-- grain: rank
-- reads: user_recommendations
-- parameters: $asked
select
    rank,
    item_id,
    score,
    source,
    model_version
from user_recommendations
where user_id = $asked
