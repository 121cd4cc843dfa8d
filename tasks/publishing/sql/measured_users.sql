-- Who has a list: of the active users, and of the users of the publication before who were still to have one;
-- and how many of the night's visitors have the very list they had.
-- grain: measure
-- reads: active_visitors, visitors, user_recommendations, matched_lists (of users), users_owed
with covered as (
    select distinct user_id
    from user_recommendations
    where user_id is not null
)

select
    'user_coverage' as measure,
    (
        select avg(cast(active_visitors.user_id in (select covered.user_id from covered) as double))
        from active_visitors
    ) as tonight,
    null as before
union all
select
    'users_kept' as measure,
    (
        select avg(cast(users_owed.user_id in (select covered.user_id from covered) as double))
        from users_owed
    ) as tonight,
    null as before
union all
select
    'visitor_sameness' as measure,
    (
        select avg(cast(in_place = size_tonight and size_tonight = size_before as double))
        from matched_lists
        where asked in (select visitors.user_id from visitors)
    ) as tonight,
    null as before
