-- Users of the publication before who, by the events that it was made from, are active tonight too; but for
-- those of whom events are no visitor's by now.
-- grain: user
-- reads: users_before, events_before (of the days in which one has to be active tonight), removed_spans
select distinct user_id
from users_before
where
    user_id in (select events_before.user_id from events_before)
    and cast(user_id as varchar) not in (
        select cast(removed_spans.user_id as varchar)
        from removed_spans
        where removed_spans.user_id is not null
    )
