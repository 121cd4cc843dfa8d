-- MovieLens: every rating is an interaction, whatever its stars; a user is one sequence.
-- grain: step
-- reads: raw
-- parameters: none
select
    userid as session_id,
    movieid as item_id,
    make_timestamp(timestamp * 1000000) as moment
from raw
