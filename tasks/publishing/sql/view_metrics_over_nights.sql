-- Every metric of every contestant, and every rule that was asked, night after night.
-- grain: night, and that of evaluations
-- reads: evaluations_history, nights
select
    judged.*, -- noqa: AM04
    nights.state,
    nights.chosen
from evaluations_history as judged
left join nights on judged.night = nights.night
