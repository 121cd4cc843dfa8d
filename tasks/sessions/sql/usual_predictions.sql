-- Next items of the sessions of an ordinary day before the night: the median over the days that have any.
-- grain: one row
-- reads: window_sessions
-- parameters: $night
with days as (
    select sum(len(items) - 1) as predictions
    from window_sessions
    where session_day < $night and len(items) > 1
    group by session_day
)

select coalesce(median(predictions), 0)::double as predictions
from days
