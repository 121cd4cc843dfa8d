-- Lists of one kind, of tonight and of the publication before: what fills them, and what they have in common.
-- Decimals are added, whose sum is the same in any order.
-- grain: measure
-- reads: lists_tonight, lists_before (asked, rank, recommended, source); matched_lists
-- parameters: $kind (user or item)
select
    $kind || '_fallback_share' as measure,
    (select avg(cast(source = 'fallback' as double)) from lists_tonight) as tonight,
    (select avg(cast(source = 'fallback' as double)) from lists_before) as before
union all
select
    $kind || '_overlap' as measure,
    (
        select cast(sum(cast(share as decimal(38, 15))) as double) / count(*)
        from (select common / least(size_tonight, size_before) as share from matched_lists) as matched
    ) as tonight,
    null as before
