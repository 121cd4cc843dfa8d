-- Every published night: who made its lists, how good they were, how long it took.
-- A night's newest publication, of its own tables where it has any; the metric is the gate's of now, as the
-- night's own judge measured it. Of verdicts of before, `chosen` is read from the state.
-- grain: night
-- reads: publications, coverage, shown
with newest as (
    select
        *,
        row_number() over (partition by night order by carried_from is null desc, sequence desc) as place
    from publications
),

judged as (
    select
        *,
        case
            when carried_from is not null then null
            when json_extract_string(verdict, '$.chosen') is not null
                then json_extract_string(verdict, '$.chosen')
            when state = 'fresh' then 'challenger'
            else 'champion'
        end as chosen
    from newest
    where place = 1
)

select
    judged.night,
    case when judged.state = 'champion' then 'weights_kept' else judged.state end as state,
    judged.carried_from,
    judged.model_version,
    judged.chosen,
    json_extract_string(judged.verdict, '$.kinds."' || judged.chosen || '"') as kind,
    json_extract_string(judged.verdict, '$.recipes."' || judged.chosen || '"') as recipe,
    shown.metric,
    cast(
        json_extract(judged.verdict, '$.metrics."' || judged.chosen || '".' || shown.metric) as double
    ) as value,
    coalesce(
        cast(json_extract(judged.verdict, '$.metrics.published.' || shown.metric) as double),
        cast(json_extract(judged.verdict, '$.metrics.champion.' || shown.metric) as double)
    ) as champion_value,
    cast(json_extract(judged.tables, '$.user_recommendations.rows') as bigint) as user_rows,
    cast(json_extract(judged.tables, '$.item_recommendations.rows') as bigint) as item_rows,
    coverage.fallback_share,
    list_sum(cast(json_extract(judged.durations, '$.*') as double[])) as seconds,
    judged.published_at,
    judged.retired_at,
    judged.sequence,
    coalesce(judged.sequence = shown.sequence, false) as is_shown
from judged
left join shown on true
left join coverage on judged.night = coverage.night
order by judged.night
