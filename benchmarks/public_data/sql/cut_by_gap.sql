-- Histories cut into sessions: a pause longer than the gap begins a new one.
-- grain: step
-- reads: steps
-- parameters: gap_minutes
with paused as (
    select
        *,
        coalesce(moment - lag(moment) over history > to_minutes($gap_minutes), false) as is_new
    from steps
    window history as (partition by session_id order by moment, place)
),

numbered as (
    select
        *,
        count(*) filter (where is_new) over history as visit
    from paused
    window history as (partition by session_id order by moment, place)
)

select
    session_id || '_' || visit as session_id,
    item_id,
    moment,
    place,
    part
from numbered
