-- The rows of a delimited file; a line that does not fit is an error.
-- grain: line
-- reads: the file
-- parameters: path, delimiter, header, quote, columns (name: type)
select * -- noqa: AM04
from
    read_csv(
        $path,
        delim = $delimiter,
        header = $header,
        quote = $quote,
        columns = $columns,
        auto_detect = false
    )
