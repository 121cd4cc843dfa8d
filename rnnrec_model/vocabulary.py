"""External item ids ↔ internal item indices.

An item id is the user's own value (int64 or string). An item index is its position in the sorted
vocabulary; tensors hold indices only, tables hold ids only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnrec_model.errors import DataError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """Sorted distinct item ids with their event counts; the index of an item is its position.

    ids      arrow array of int64 or string, sorted, distinct, no nulls
    counts   (items,) int64: events of each item in the training data
    """

    ids: pa.Array
    counts: Indices

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def build(item_ids: pa.Array | pa.ChunkedArray) -> Vocabulary:
        """Vocabulary of every item that occurs. Raises DataError for other types, nulls, or no item."""
        flat = _plain(item_ids)
        if len(flat) == 0:
            raise DataError("vocabulary: expected at least one item; got none")
        table = pc.value_counts(flat)
        ids, counts = table.field("values"), table.field("counts")
        order = pc.sort_indices(ids)
        return Vocabulary(ids.take(order), counts.take(order).to_numpy(zero_copy_only=False).astype(np.int64))

    def encode(self, item_ids: pa.Array | pa.ChunkedArray) -> Indices:
        """(n,) indices of the ids, -1 where an id is unknown. Raises DataError for ids of another type."""
        flat = _plain(item_ids)
        try:
            asked = flat.cast(self.ids.type)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"item ids: expected {self.ids.type}, as the model has learnt them; got {flat.type}: "
                f"{error}. Let both have one type"
            ) from None
        found = pc.index_in(asked, value_set=self.ids)
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)

    def decode(self, indices: Indices) -> pa.Array:
        """Arrow array of the ids at these indices."""
        return self.ids.take(pa.array(np.asarray(indices, dtype=np.int64)))


def _plain(item_ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Of one of two types; in chunks where they came so: text of more than 2 GiB fits no single array."""
    flat = item_ids
    if pa.types.is_dictionary(flat.type):
        flat = flat.cast(flat.type.value_type)
    if pa.types.is_integer(flat.type):
        flat = flat.cast(pa.int64())
    elif pa.types.is_large_string(flat.type) or pa.types.is_string_view(flat.type):
        flat = flat.cast(pa.string())
    if flat.type not in (pa.int64(), pa.string()):
        raise DataError(f"item ids: expected integers or strings; got {flat.type}")
    if flat.null_count:
        raise DataError(f"item ids: expected no nulls; got {flat.null_count}")
    return flat
