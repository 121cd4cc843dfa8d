"""Parquet logs as pieces of rows in columns of ours; every page with a checksum is checked.

Files are read through Arrow: a path is a path there, whatever letters it has, and the rows that come out of
the pages can be counted against the number that the file's footer names. A field of a struct is a column
`struct.field`, where the file has no other of that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import SourceError
from tasks.raw import log_files
from tasks.raw.log_files import File

PIECE_ROWS = 1_000_000
PIECE_BYTES = 2**28  # of rows that are so wide that fewer than PIECE_ROWS are as many
PROBED_ROWS = 64
FARTHEST_US = 2**61  # microseconds; a time beyond is out of range whatever it is, and this is 73,000 years
PER_UNIT = {"date32[day]": 86_400_000_000, "date64[ms]": 1_000, "s": 1_000_000, "ms": 1_000, "us": 1}
UUID = "arrow.uuid"


def count_rows(path: File) -> int:
    """Rows of a file, as its footer has them."""
    with opened(path) as file:
        return int(file.metadata.num_rows)


def schema(path: File) -> pa.Schema:
    """Names and types of the columns, as `flat` has them."""
    with opened(path) as file:
        return flat(file.schema_arrow)


def flat(found: pa.Schema) -> pa.Schema:
    """Names and types, those in structs with dots; a dictionary's is that of its values."""
    return pa.schema([(name, _plain(kind)) for name, kind in _named(found)])


def pieces(path: File, columns: Mapping[str, str]) -> Iterator[pa.Table]:
    """Tables (row_number from 0, and the columns under our names) of whole files, piece by piece.

    columns   our name to the file's, as in `schema`; "" for a column of nulls
    """
    wanted = [name for name in columns.values() if name]
    with opened(path) as file:
        yield from numbered(file.iter_batches(_piece_rows(file, wanted), columns=wanted), columns)


def numbered(batches: Iterable[pa.RecordBatch], columns: Mapping[str, str]) -> Iterator[pa.Table]:
    """The same of batches that come from elsewhere."""
    first = 0
    for batch in batches:
        numbers = pa.array(range(first, first + len(batch)), pa.int64())
        arrays = [_read(batch, name) for name in columns.values()]
        yield pa.table([numbers, *arrays], names=["row_number", *columns])
        first += len(batch)


def _piece_rows(file: pq.ParquetFile, wanted: Sequence[str]) -> int:
    """How many rows memory bears at once, by the first: of a text that is repeated a file has one copy."""
    first = next(file.iter_batches(PROBED_ROWS, columns=wanted), None)
    width = first.nbytes / len(first) if first is not None and len(first) else 1
    return int(min(PIECE_ROWS, max(PROBED_ROWS, PIECE_BYTES // max(width, 1))))


def is_id(kind: pa.DataType) -> bool:
    """Can it name a user or an item? Nothing but nulls names nobody, which is for each row to say."""
    if pa.types.is_null(kind):
        return True
    return is_integer(kind) or pa.types.is_string(kind) or getattr(kind, "extension_name", "") == UUID


def is_integer(kind: pa.DataType) -> bool:
    """Integers, and decimals without a fraction; what a bigint cannot hold refuses its row."""
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def moment_kind(kind: pa.DataType) -> str | None:
    """Which of our columns a time of this type goes into: a number, a text or a time; None for neither."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "moment_time"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "moment_number"
    return "moment_text" if pa.types.is_string(kind) or pa.types.is_null(kind) else None


def outermost(found: pa.Schema, name: str) -> str:
    """The column of the file that a name of `schema` is in."""
    return (
        name
        if name in found.names
        else next(
            field.name for field in found if name in [f"{field.name}.{one}" for one, _ in _inside(field.type)]
        )
    )


def _named(fields: Iterable[pa.Field]) -> list[tuple[str, pa.DataType]]:
    own = [(field.name, field.type) for field in fields]
    names = {name for name, _ in own}
    deeper = [(f"{outer}.{name}", kind) for outer, struct in own for name, kind in _inside(struct)]
    return own + [(name, kind) for name, kind in deeper if name not in names]


def _inside(kind: pa.DataType) -> list[tuple[str, pa.DataType]]:
    return _named(kind.fields) if pa.types.is_struct(kind) else []


def _column(struct: pa.StructArray, name: str) -> pa.Array:
    """The field of that name, of whatever depth; null where a struct around it is."""
    names = [field.name for field in struct.type.fields]
    if name in names:
        return pc.struct_field(struct, names.index(name))
    for place, outer in enumerate(names):
        inner = name.removeprefix(f"{outer}.")
        if inner != name and inner in dict(_inside(struct.type.field(place).type)):
            return _column(pc.struct_field(struct, place), inner)
    raise KeyError(name)


def _read(batch: pa.RecordBatch, name: str) -> pa.Array:
    if not name:
        return pa.nulls(len(batch))
    column = _column(batch.to_struct_array(), name)
    column.validate(full=True)  # text that is no UTF-8 would be taken for text
    kind = _plain(column.type)
    column = column if column.type == kind else column.cast(kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _microseconds(column)
    if pa.types.is_decimal(kind):
        return column.cast(pa.decimal128(38, 0) if is_integer(kind) else pa.float64())
    return column.cast(pa.float64()) if pa.types.is_floating(kind) else column


def _plain(kind: pa.DataType) -> pa.DataType:
    """What a dictionary holds; one type of text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _microseconds(column: pa.Array) -> pa.Array:
    """UTC without a zone; finer times are cut, those too far away for microseconds are put at their end."""
    unit = str(column.type) if pa.types.is_date(column.type) else column.type.unit
    if unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.timestamp("us"))
    most = FARTHEST_US // PER_UNIT[unit]
    bounds = pc.ElementWiseAggregateOptions(skip_nulls=False)
    numbers = column.cast(pa.int32() if unit.startswith("date32") else pa.int64()).cast(pa.int64())
    bounded = pc.max_element_wise(pc.min_element_wise(numbers, most, options=bounds), -most, options=bounds)
    return pc.multiply(bounded, PER_UNIT[unit]).cast(pa.timestamp("us"))


@contextmanager
def opened(path: File) -> Iterator[pq.ParquetFile]:
    """The file, with whatever cannot be read of it as a SourceError."""
    try:
        with log_files.opened(path) as stream:
            yield pq.ParquetFile(stream, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(
            f"{path}: cannot be read: {what}; repair or remove the file, then run the night again"
        ) from error
