-- Functions that may say another thing the next time, of the same values.
-- grain: name
-- reads: duckdb_functions()
-- parameters: none
select lower(function_name) as name
from duckdb_functions()
group by lower(function_name)
having bool_or(stability <> 'CONSISTENT') or bool_or(contains(macro_definition, 'current_timestamp'))
