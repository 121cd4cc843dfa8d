-- OTTO: clicks; a session is all that a user did. What has no events or no type stays, to be counted as
-- incomplete and refused.
-- grain: step
-- reads: raw
-- parameters: none
with unnested as (
    select
        session,
        unnest(coalesce(events, [null])) as step
    from raw
)

select
    session as session_id,
    step.aid as item_id,
    make_timestamp_ms(step.ts) as moment
from unnested
where coalesce(step.type, 'clicks') = 'clicks'
