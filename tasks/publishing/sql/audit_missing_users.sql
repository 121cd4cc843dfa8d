-- check: every user with an event of a visitor in the active days has recommendations, unless none is left.
-- guards against: users lost on the way from events to scores
-- severity: refuse
-- remedy: look for sessions that lack these users; check recommendations.active_days
-- reads: active_visitors, user_recommendations, excluded_items
with withheld as (
    select
        asked,
        count(*) as items
    from excluded_items
    group by asked
),

missing as (
    select cast(active_visitors.user_id as varchar) as user_id
    from active_visitors
    where active_visitors.user_id not in (
        select user_recommendations.user_id
        from user_recommendations
        where user_recommendations.user_id is not null
    )
)

select missing.user_id
from missing
left join withheld on missing.user_id = withheld.asked
where
    coalesce(withheld.items, 0) = 0
    or withheld.items < (select count(distinct shown.item_id) from user_recommendations as shown)
