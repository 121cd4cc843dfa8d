-- What a day's visitors met, and the rank it had in the list that each was shown.
-- An item counts as new to a visitor who did not meet it on the days that the list was made from, however
-- often since.
-- grain: asker (a visitor), item
-- reads: events (of tonight's window), realized_met_before, shown_users, shown_popular (user_recommendations,
--     popular_items)
-- parameters: $night (the day)
with met as (
    select
        user_id,
        item_id,
        count(*) as events
    from events
    where event_day = $night
    group by user_id, item_id
),

listed as (
    select
        user_id,
        bool_or(source = 'model') as has_model,
        bool_or(source = 'fallback') as has_fallback
    from shown_users
    group by user_id
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
    shown_popular.rank as popular_rank
from met
left join realized_met_before as met_before
    on met.user_id = met_before.user_id and met.item_id = met_before.item_id
left join listed on met.user_id = listed.user_id
left join shown_users on met.user_id = shown_users.user_id and met.item_id = shown_users.item_id
left join shown_popular on met.item_id = shown_popular.item_id
