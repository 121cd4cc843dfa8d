"""A shop's rules about every list: items never to show, items out of stock, at most n of a category.

A list by the rules is what a greedy pass over the complete ranking takes: from the best item down, each one
that no rule refuses and whose category is not full yet, until there are k. An item without a category fills
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnrec_model.vocabulary import Indices

NEVER_SHOW, OUT_OF_STOCK, OVER_QUOTA = REASONS = ("never_show", "out_of_stock", "over_quota")
FREE = -1  # of no rule, or in no category


@dataclass(frozen=True)
class Rules:
    """What is known of items, and how many of a category a list may have.

    items          arrow table (item_id, never_show, in_stock, category), each item once; in_stock is null in
                   every row where everything is in stock, else an item that is not here is out of stock
    per_category   0: any number
    """

    items: pa.Table
    per_category: int

    def may_be_shown(self, ids: pa.Array) -> npt.NDArray[np.bool_]:
        """(ids,) whether a list may have the item at all, categories aside."""
        return np.asarray(self.over(ids).refused == FREE)

    def over(self, ids: pa.Array) -> Applied:
        """The rules about these items, place by place."""
        at = pc.index_in(ids, value_set=self.items["item_id"].combine_chunks().cast(ids.type))
        never = pc.fill_null(self.items["never_show"].take(at), False).to_numpy()
        refused = np.where(never, REASONS.index(NEVER_SHOW), FREE)
        if self.items["in_stock"].null_count < self.items.num_rows:
            there = pc.fill_null(self.items["in_stock"].take(at), False).to_numpy()
            refused = np.where(~never & ~there, REASONS.index(OUT_OF_STOCK), refused)
        if not self.per_category:
            return Applied(refused, np.full(len(ids), FREE), 0)
        codes = self.items["category"].combine_chunks().dictionary_encode().indices.take(at)
        categories = pc.fill_null(codes, FREE).to_numpy(zero_copy_only=False).astype(np.int64)
        return Applied(refused, categories, self.per_category)


@dataclass(frozen=True)
class Applied:
    """The rules about a row of items that indices point into.

    refused        (items,) place in REASONS of the rule that refuses the item to everybody, or FREE
    categories     (items,) number of its category, or FREE
    per_category   0: any number
    """

    refused: Indices
    categories: Indices
    per_category: int

    def judged(self, ranking: Indices) -> Indices:
        """(rows, width) FREE where the greedy pass takes an item, else the place in REASONS of the rule.

        ranking   (rows, width) beginnings of complete rankings; places of -1, where one has ended, are FREE
        """
        found = np.where(ranking >= 0, self.refused[ranking], FREE)
        if self.per_category:
            open_to = np.where((ranking >= 0) & (found == FREE), self.categories[ranking], FREE)
            found[_same_before(open_to) >= self.per_category] = REASONS.index(OVER_QUOTA)
        return found

    def walk(self, taken: Iterable[int], candidates: Iterable[int]) -> Iterator[int]:
        """The candidates that the greedy pass takes in their turn, after what it has taken already."""
        full: dict[int, int] = {}
        for item in taken:
            full[self.categories[item]] = full.get(self.categories[item], 0) + 1
        for item in candidates:
            category = self.categories[item]
            if self.refused[item] != FREE:
                continue
            if category != FREE and self.per_category:
                if full.get(category, 0) >= self.per_category:
                    continue
                full[category] = full.get(category, 0) + 1
            yield item


def _same_before(values: Indices) -> npt.NDArray[np.int64]:
    """(rows, width) how many equal values stand before each in its row; 0 for FREE."""
    counts = np.zeros(values.size, dtype=np.int64)
    flat = values.ravel()
    there = np.flatnonzero(flat != FREE)
    keys = there // max(values.shape[1], 1) * (flat.max(initial=0) + 1) + flat[there]
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
    runs = np.diff(begins, append=len(order))
    counts[there[order]] = np.arange(len(order)) - np.repeat(begins, runs)
    return counts.reshape(values.shape)
