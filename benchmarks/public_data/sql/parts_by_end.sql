-- Steps with their part: a session whose last step lies before the cut is of train, any other of test.
-- grain: step
-- reads: whole
-- parameters: cut
select
    session_id,
    item_id,
    moment,
    place,
    case
        when max(moment) over (partition by session_id) < $cut then 'train'
        else 'test'
    end as part
from whole
