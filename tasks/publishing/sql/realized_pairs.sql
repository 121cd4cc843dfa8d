-- Which item followed which in a day's sessions, and the rank it had in the list of the one before.
-- An item after itself is no pair: no item is in its own list, nor among popular items where they stand for
-- its list. New is as of visits.
-- grain: asker (an item, the one after it, whether that was new to the user); `chances` times it came so
-- reads: realized_met_before, sessions (of the window), shown_items, shown_popular
-- parameters: $night (the day)
with steps as (
    select
        user_id,
        unnest(items[1:len(items) - 1]) as item_id,
        unnest(items[2:]) as next_item_id
    from sessions
    where session_day = $night
),

pairs as (
    select
        steps.item_id,
        steps.next_item_id,
        met_before.user_id is null as is_new,
        count(*) as chances
    from steps
    left join realized_met_before as met_before
        on steps.user_id = met_before.user_id and steps.next_item_id = met_before.item_id
    where steps.item_id <> steps.next_item_id
    group by steps.item_id, steps.next_item_id, met_before.user_id is null
),

listed as (
    select
        item_id,
        bool_or(source = 'model') as has_model,
        bool_or(source = 'fallback') as has_fallback
    from shown_items
    group by item_id
)

select
    'items' as lists_of,
    cast(row_number() over () as varchar) as asker,
    pairs.chances,
    pairs.chances as events,
    pairs.is_new,
    listed.item_id is not null as has_list,
    listed.has_model,
    listed.has_fallback,
    shown_items.rank,
    shown_items.source,
    shown_popular.rank - if(own.rank < shown_popular.rank, 1, 0) as popular_rank
from pairs
left join listed on pairs.item_id = listed.item_id
left join shown_items on pairs.item_id = shown_items.item_id and pairs.next_item_id = shown_items.next_item_id
left join shown_popular on pairs.next_item_id = shown_popular.item_id
left join shown_popular as own on pairs.item_id = own.item_id
