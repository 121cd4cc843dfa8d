-- Every metric of every contestant, night after night; what rules made of them is rules_over_nights.
-- grain: night, model, metric, slice
-- reads: evaluations_history, nights
select
    judged.model,
    judged.metric,
    judged.slice,
    judged.value,
    judged.predictions,
    judged.night,
    nights.state,
    nights.chosen
from evaluations_history as judged
left join nights on judged.night = nights.night
where coalesce(judged.rule, '') = ''
