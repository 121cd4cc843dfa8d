-- Whom and what a night's lists reach.
-- grain: night
-- reads: user_recommendations_history, item_recommendations_history
with users as (
    select
        night,
        count(*) filter (where rank = 1) as users,
        count(distinct item_id) as recommended_items,
        count(*) filter (where source = 'fallback') / count(*) as fallback_share
    from user_recommendations_history
    group by night
),

items as (
    select
        night,
        count(*) filter (where rank = 1) as items,
        count(*) filter (where source = 'fallback') / count(*) as item_fallback_share
    from item_recommendations_history
    group by night
)

select
    users.night,
    users.users,
    items.items,
    users.recommended_items,
    users.recommended_items / items.items as catalogue_share,
    users.fallback_share,
    items.item_fallback_share
from users
inner join items on users.night = items.night
