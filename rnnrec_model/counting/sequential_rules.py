"""Sequential rules: what followed the last item within a few steps (ten), by 1 / distance.

(Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms", SR.)

Weights are kept as whole numbers of 1/2520, which all of 1 to 10 divide (of 1/lcm, for other steps): sums are
exact, and popularity, as a share below one, orders equal ones without overturning any.
"""

from __future__ import annotations

import math

import numpy as np

from rnnrec_model import ragged
from rnnrec_model.contract import Fitted, Fitting
from rnnrec_model.counting.counts import SparseRows, popularity_share
from rnnrec_model.counting.markov import RulesFromLastItem, load
from rnnrec_model.counting.settings import SequentialRulesConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

__all__ = ["fit", "load"]


def fit(settings: SequentialRulesConfig, sessions: Sessions, vocabulary: Vocabulary, _: Fitting) -> Fitted:
    """Add 1 / distance for every pair of a session that is at most `steps` apart."""
    distances = range(1, settings.steps + 1)
    whole = math.lcm(*distances)  # 2520 for ten
    owners = ragged.owners(sessions.lengths)
    before, after, weights = [], [], []
    for distance in distances:
        first = np.flatnonzero(owners[:-distance] == owners[distance:])
        before.append(sessions.items[first])
        after.append(sessions.items[first + distance])
        weights.append(np.full(len(first), whole // distance, dtype=np.int64))
    items = len(vocabulary)
    rows = SparseRows.summed(
        np.concatenate(before), np.concatenate(after), np.concatenate(weights), items, items
    )
    share = popularity_share(sessions, items)
    return Fitted(RulesFromLastItem("sequential_rules", settings, vocabulary, rows, share))
