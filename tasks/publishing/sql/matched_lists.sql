-- Lists of tonight beside the same user's or item's list of the publication before.
-- grain: asked (who had a list both times)
-- reads: lists_tonight, lists_before (asked, rank, recommended, source)
-- parameters: $parts (one of so many lists is looked at, by the md5 of its id; 1: all)
with tonight as (
    select
        asked,
        rank,
        recommended
    from lists_tonight
    where $parts = 1 or md5_number_lower(cast(asked as varchar)) % $parts = 0
),

before as (
    select
        asked,
        rank,
        recommended
    from lists_before
    where $parts = 1 or md5_number_lower(cast(asked as varchar)) % $parts = 0
),

beside as (
    select
        coalesce(tonight.asked, before.asked) as asked,
        tonight.rank as rank_tonight,
        before.rank as rank_before
    from tonight
    full outer join before on tonight.asked = before.asked and tonight.recommended = before.recommended
)

select
    asked,
    count(rank_tonight) as size_tonight,
    count(rank_before) as size_before,
    count(*) filter (rank_tonight is not null and rank_before is not null) as common,
    count(*) filter (rank_tonight = rank_before) as in_place
from beside
group by asked
having count(rank_tonight) > 0 and count(rank_before) > 0
