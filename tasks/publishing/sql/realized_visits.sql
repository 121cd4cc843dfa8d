-- What a day's known visitors met, and the ranks it had in the list that each was shown and among popular
-- items. An item counts as new to a visitor who did not meet it on the days that the list was made from,
-- however often since. Who had a list has popular items by its rules: what the list had to leave out takes no
-- place.
-- grain: asker (a visitor), item
-- reads: events (of tonight's window), realized_met_before, shown_users, shown_popular (user_recommendations,
--     popular_items), excluded_items (of visitors with a list)
-- parameters: $night (the day)
with met as (
    select
        user_id,
        item_id,
        count(*) as events
    from events
    where event_day = $night and user_id is not null
    group by user_id, item_id
),

listed as (
    select
        user_id,
        bool_or(source = 'model') as has_model,
        bool_or(source = 'fallback') as has_fallback
    from shown_users
    group by user_id
),

left_out as (
    select
        excluded_items.asked,
        shown_popular.rank
    from excluded_items
    inner join shown_popular on excluded_items.item = cast(shown_popular.item_id as varchar)
),

popular as (
    select
        met.user_id,
        met.item_id,
        if(
            bool_or(left_out.rank = shown_popular.rank),
            null,
            shown_popular.rank - count(left_out.rank)
        ) as rank
    from met
    inner join shown_popular on met.item_id = shown_popular.item_id
    left join left_out
        on cast(met.user_id as varchar) = left_out.asked and shown_popular.rank >= left_out.rank
    group by met.user_id, met.item_id, shown_popular.rank
)

select
    'users' as lists_of,
    cast(met.user_id as varchar) as asker,
    1 as chances,
    met.events,
    met_before.user_id is null as is_new,
    listed.user_id is not null as has_list,
    listed.has_model,
    listed.has_fallback,
    shown_users.rank,
    shown_users.source,
    popular.rank as popular_rank
from met
left join realized_met_before as met_before
    on met.user_id = met_before.user_id and met.item_id = met_before.item_id
left join listed on met.user_id = listed.user_id
left join shown_users on met.user_id = shown_users.user_id and met.item_id = shown_users.item_id
left join popular on met.user_id = popular.user_id and met.item_id = popular.item_id
