-- What readers see at this moment, and how old it is; also right after a rollback.
-- grain: one row
-- reads: publications, shown
with newest as (
    select
        max(night) as night,
        max(night) filter (where moves_latest) as shown_once
    from publications
)

select
    publications.night,
    case when publications.state = 'champion' then 'weights_kept' else publications.state end as state,
    coalesce(publications.carried_from, publications.night) as data_night,
    round((epoch(now()) - epoch(shown.data_until)) / 3600, 1) as data_age_hours,
    publications.published_at,
    round((epoch(now()) - epoch(publications.published_at)) / 3600, 1) as published_hours,
    coalesce(publications.carried_from, publications.night) < newest.night as is_stale,
    publications.night < newest.shown_once as is_taken_back,
    publications.model_version,
    publications.sequence
from publications
inner join shown on publications.sequence = shown.sequence
cross join newest
