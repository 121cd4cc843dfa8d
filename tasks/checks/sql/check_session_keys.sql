-- check: a session stands in the table once. A given id that comes back much later is another session.
-- guards against: a day that was written twice; a session in two days
-- severity: refuse
-- remedy: run the night again; where it comes back, keep the warehouse as it is and report a fault
-- reads: sessions
select
    min(session_day) as session_day,
    session_id,
    user_id
from sessions
group by session_id, user_id, started_at
having count(*) > 1
