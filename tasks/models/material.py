"""What recipes are fitted to: the rows of some days, made ready once for all that learn from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tasks.models.recipes import Recipe

if TYPE_CHECKING:
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.sizing import Size
    from rnnrec_model.vocabulary import Vocabulary

COLUMNS = {"users": "user_id", "times": "times"}  # what a model may need beside items → the rows' column


@dataclass(frozen=True)
class Material:
    """Sessions to learn from, oldest first, and their vocabulary; both are made when first asked for.

    rows       (items, user_id, times), the last two where anybody needs them
    carrying   what all who learn from it need together, of `needs`
    days       which days they are of, in words
    """

    rows: pa.Table
    carrying: frozenset[str] = frozenset()
    days: str = ""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every item of the rows, with its events."""
        from rnnrec_model.vocabulary import Vocabulary

        return Vocabulary.build(pc.list_flatten(self.rows["items"]))

    @cached_property
    def size(self) -> Size:
        """How much there is to learn from."""
        return self.sessions().size(self.vocabulary)

    def sessions(self, carrying: Collection[str] = ()) -> Sessions:
        """The rows that teach something, with no more beside items than is asked for here."""
        whole = self._sessions
        users = whole.users if "users" in carrying else None
        return replace(whole, users=users, times=whole.times if "times" in carrying else None)

    @cached_property
    def _sessions(self) -> Sessions:
        from rnnrec_model.sessions import Sessions

        carried = {name: self.rows[COLUMNS[name]] for name in self.carrying}
        return Sessions.from_arrow(self.rows["items"], self.vocabulary, min_length=2, **carried)


def needs(*wanted: Recipe) -> frozenset[str]:
    """What sessions have to carry beside items for these recipes: users, times, or nothing."""
    from rnnrec_model import models

    return frozenset(
        one for recipe in wanted for one in (*models.find(recipe.kind).carried, *recipe.settings.carried)
    )
