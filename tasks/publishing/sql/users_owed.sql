-- Users of the publication before who, by the events that it was made from, are active tonight too.
-- grain: user
-- reads: users_before, events_before (of the days in which one has to be active tonight)
select distinct user_id
from users_before
where user_id in (select events_before.user_id from events_before)
