"""What no list has, whoever makes it: of the reader's own past, and of what the shop does not want shown.

Lists are made by it (answers.py), and models are judged by it: a frame of predictions that is told what lists
leave out (`Predictions.leaving_out`) ranks, and counts its guards, as readers get their lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnrec_model.ranking.rules import Rules

Exclude = Literal["nothing", "last_item", "session", "window"]


@dataclass(frozen=True)
class LeftOut:
    """What lists leave out.

    exclude   of the reader's own past: nothing, the last item, all items of the session, or these and
              whatever else the user had (window), which has to be given
    rules     what the shop does not want in any list
    """

    exclude: Exclude = "nothing"
    rules: Rules | None = None

    def may_be_shown(self, ids: pa.Array) -> npt.NDArray[np.bool_]:
        """(ids,) whether a list may have the item at all: the reader's past and categories aside."""
        return np.ones(len(ids), dtype=bool) if self.rules is None else self.rules.may_be_shown(ids)


NOTHING = LeftOut()
