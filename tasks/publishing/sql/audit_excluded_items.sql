-- check: no user is shown what recommendations.exclude leaves out.
-- guards against: the item just looked at on top of the list, lists that went to other users
-- severity: refuse
-- remedy: this is a fault of the pipeline or the model, not of the data: report it with these rows
-- reads: audited_recommendations, excluded_items
select
    shown.asked,
    shown.rank,
    shown.recommended
from audited_recommendations as shown
inner join excluded_items as excluded
    on shown.asked = excluded.asked and shown.recommended = excluded.item
where shown.kind = 'user'
