-- The objects of a file of JSON lines; a line that is not JSON is an error.
-- grain: line
-- reads: the file
-- parameters: path, columns (key: type)
select * -- noqa: AM04
from read_json($path, format = 'newline_delimited', columns = $columns)
