-- How good the lists were that readers were shown on a day, by what its visitors did then.
--
-- lists_of   users: a visitor of the day is one chance to be right. items: an item followed by another one
--            in a session of the day is one chance, for the list of the first of them.
-- list       published: the user's or the item's own list. popularity: the popular items in its place, at the
--            very same chances and without what the published list had to leave out.
-- part       all: chances with a list. model, fallback: chances whose list has such rows; of it those rows
--            alone can be right (popularity: its whole list, at these chances). new, repeated: chances with
--            a list; what can be found is what the user had not met, or had met, on the days that the list
--            was made from. without_list: chances that had none, for which there were popular items only.
-- metric     share_with_list: chances with a list among all; n counts all of them.
--            hit_rate_at_k: chances with at least one such item among the first k of the list.
--            lone_hit_rate_at_k: chances that this list has such an item for, and the other has none.
--            mrr_at_k: mean over chances of 1 / the first rank that such an item has; 0 where beyond k.
--            event_hit_rate_at_k: events, repetitions too, whose item is in the first k of its user's list.
-- value, n   the share or mean, over n chances (of event_hit_rate: events). A metric over none has no row.
--
-- What was looked at yesterday is easily found again today: judge by `new`, beside popularity's.
-- Neither list has what recommendations.exclude leaves out of its user's past, nor what [rules] refuse to
-- all; popular items are held to no quota of a category, and may end before k where much is left out.
-- Counts are whole numbers until the last division, and sums go by rank: no order of rows changes a bit.
-- grain: lists_of, list, part, metric
-- reads: realized_visits, realized_pairs
-- parameters: $cutoffs (each k)
with lists as (select unnest(['published', 'popularity']) as list),

parts as (select unnest(['all', 'model', 'fallback', 'new', 'repeated', 'without_list']) as part),

cutoffs as (select unnest($cutoffs) as k),

met as (
    select * from realized_visits
    union all
    select * from realized_pairs
),

asked as (
    select
        met.lists_of,
        met.asker,
        met.chances,
        met.events,
        lists.list,
        parts.part,
        case
            when lists.list = 'popularity' then met.popular_rank
            when parts.part not in ('model', 'fallback') or met.source = parts.part then met.rank
        end as rank
    from met
    cross join lists
    cross join parts
    where case parts.part
        when 'all' then met.has_list
        when 'model' then met.has_model
        when 'fallback' then met.has_fallback
        when 'new' then met.has_list and met.is_new
        when 'repeated' then met.has_list and not met.is_new
        else not met.has_list and lists.list = 'popularity'
    end
),

firsts as (
    select
        lists_of,
        list,
        part,
        asker,
        chances,
        min(rank) as rank
    from asked
    group by lists_of, list, part, asker, chances
),

lone as (
    select
        firsts.lists_of,
        firsts.list,
        firsts.part,
        cutoffs.k,
        sum(firsts.chances) as n,
        coalesce(
            sum(firsts.chances) filter (
                where firsts.rank <= cutoffs.k and coalesce(others.rank > cutoffs.k, true)
            ),
            0
        ) as hits
    from firsts
    inner join firsts as others
        on
            firsts.lists_of = others.lists_of
            and firsts.part = others.part
            and firsts.asker = others.asker
            and firsts.list <> others.list
    cross join cutoffs
    group by firsts.lists_of, firsts.list, firsts.part, cutoffs.k
),

counted as (
    select
        lists_of,
        list,
        part,
        rank,
        'chance' as counts,
        sum(chances) as number
    from firsts
    group by lists_of, list, part, rank
    union all
    select
        lists_of,
        list,
        part,
        rank,
        'event' as counts,
        sum(events) as number
    from asked
    where lists_of = 'users'
    group by lists_of, list, part, rank
),

at_k as (
    select
        counted.lists_of,
        counted.list,
        counted.part,
        counted.counts,
        cutoffs.k,
        sum(counted.number) as n,
        coalesce(sum(counted.number) filter (where counted.rank <= cutoffs.k), 0) as hits,
        coalesce(
            sum(counted.number / counted.rank order by counted.rank)
            filter (where counted.rank <= cutoffs.k),
            0
        ) as reciprocal
    from counted
    cross join cutoffs
    group by counted.lists_of, counted.list, counted.part, counted.counts, cutoffs.k
),

served as (
    select distinct
        lists_of,
        asker,
        chances,
        has_list
    from met
),

measured as (
    select
        lists_of,
        list,
        part,
        if(counts = 'event', 'event_hit_rate_at_', 'hit_rate_at_') || k as metric,
        hits / n as value,
        n
    from at_k
    union all
    select
        lists_of,
        list,
        part,
        'mrr_at_' || k as metric,
        reciprocal / n as value,
        n
    from at_k
    where counts = 'chance'
    union all
    select
        lists_of,
        list,
        part,
        'lone_hit_rate_at_' || k as metric,
        hits / n as value,
        n
    from lone
    union all
    select
        lists_of,
        'published' as list,
        'all' as part,
        'share_with_list' as metric,
        coalesce(sum(chances) filter (where has_list), 0) / sum(chances) as value,
        sum(chances) as n
    from served
    group by lists_of
)

select
    lists_of,
    list,
    part,
    metric,
    cast(value as double) as value,
    cast(n as bigint) as n
from measured
order by lists_of, list, part, metric
