-- Functions that compute a value of values, and the same one each time.
-- grain: name
-- reads: duckdb_functions()
-- parameters: none
select lower(function_name) as name
from duckdb_functions()
group by lower(function_name)
having bool_and(function_type = 'scalar' and stability = 'CONSISTENT')
