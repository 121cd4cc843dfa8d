-- Every metric of every contestant, and every rule that was asked, night after night.
-- grain: night, and that of evaluations
-- reads: evaluations_history, nights
select
    judged.model,
    judged.against,
    judged.metric,
    judged.slice,
    judged.value,
    judged.low,
    judged.high,
    judged.rule,
    judged.question,
    judged.allowed,
    judged.passed,
    judged.predictions,
    judged.night,
    nights.state,
    nights.chosen
from evaluations_history as judged
left join nights on judged.night = nights.night
