-- What the lists that readers were shown were worth on each day, beside popularity's at the same chances.
-- grain: night, lists_of, part, k
-- reads: realized_quality_history
with measured as (
    select
        *,
        cast(regexp_extract(metric, '[0-9]+$') as integer) as k,
        concat(list, ' ', regexp_replace(metric, '_at_[0-9]+$', '')) as measure
    from realized_quality_history
    where metric <> 'share_with_list'
),

shares as (
    select
        night,
        lists_of,
        n as all_chances,
        value as share_with_list
    from realized_quality_history
    where metric = 'share_with_list'
)

select
    measured.night,
    measured.lists_of,
    measured.part,
    measured.k,
    max(measured.shown_night) as shown_night,
    max(measured.shown_state) as shown_state,
    max(measured.model_version) as model_version,
    max(shares.all_chances) as all_chances,
    max(shares.share_with_list) as share_with_list,
    max(measured.n) filter (where measured.measure = 'popularity hit_rate') as chances,
    max(measured.value) filter (where measured.measure = 'published hit_rate') as hit_rate,
    max(measured.value) filter (where measured.measure = 'popularity hit_rate') as popularity_hit_rate,
    max(measured.value) filter (where measured.measure = 'published mrr') as mrr,
    max(measured.value) filter (where measured.measure = 'popularity mrr') as popularity_mrr
from measured
left join shares on measured.night = shares.night and measured.lists_of = shares.lists_of
group by measured.night, measured.lists_of, measured.part, measured.k
order by measured.night, measured.lists_of, measured.part, measured.k
