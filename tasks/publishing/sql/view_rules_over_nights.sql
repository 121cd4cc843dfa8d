-- Every rule that a judge asked, with the numbers that answered it, night after night.
-- grain: night, question, rule, model, against, metric, slice
-- reads: evaluations_history, nights
select
    judged.question,
    judged.rule,
    judged.model,
    judged.against,
    judged.metric,
    judged.slice,
    judged.value as difference,
    judged.low,
    judged.high,
    judged.allowed,
    judged.passed,
    judged.predictions,
    judged.night,
    nights.state,
    nights.chosen
from evaluations_history as judged
left join nights on judged.night = nights.night
where judged.rule <> ''
