-- Popular items whose rank changed the most; where a night has not got an item, its rank there is null.
-- grain: item
-- reads: first_popular, second_popular (rank, item_id, score), first_names, second_names
-- parameters: $most
with moved as (
    select
        coalesce(first_popular.item_id, second_popular.item_id) as item_id,
        first_popular.rank as rank_before,
        second_popular.rank as rank_after,
        coalesce(first_popular.rank, (select max(one.rank) + 1 from first_popular as one)) as place_before,
        coalesce(second_popular.rank, (select max(one.rank) + 1 from second_popular as one)) as place_after
    from first_popular
    full join second_popular on first_popular.item_id = second_popular.item_id
)

select
    moved.item_id,
    coalesce(second_names.name, first_names.name) as name,
    moved.rank_before,
    moved.rank_after
from moved
left join first_names on moved.item_id = first_names.item_id
left join second_names on moved.item_id = second_names.item_id
where moved.rank_before is distinct from moved.rank_after
order by
    abs(moved.place_after - moved.place_before) desc,
    least(moved.place_before, moved.place_after) asc,
    moved.item_id asc
limit $most
