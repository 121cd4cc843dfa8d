"""Sequential rules: what followed the last item within ten steps, by 1 / distance.

(Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms", SR.)

Weights are kept as whole numbers of 1/2520, which all of 1 to 10 divide: sums are exact, and popularity, as
a share below one, orders equal ones without overturning any.
"""

from __future__ import annotations

import math

import numpy as np

from rnnrec_model.counting.counts import SparseRows, owners_of, popularity_share
from rnnrec_model.counting.markov import RulesFromLastItem
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

STEPS = 10
WHOLE = math.lcm(*range(1, STEPS + 1))  # 2520


def fit(sessions: Sessions, vocabulary: Vocabulary) -> RulesFromLastItem:
    """Add 1 / distance for every pair of a session that is at most STEPS apart."""
    owners = owners_of(sessions)
    before, after, weights = [], [], []
    for distance in range(1, STEPS + 1):
        first = np.flatnonzero(owners[:-distance] == owners[distance:])
        before.append(sessions.items[first])
        after.append(sessions.items[first + distance])
        weights.append(np.full(len(first), WHOLE // distance, dtype=np.int64))
    items = len(vocabulary)
    rows = SparseRows.summed(
        np.concatenate(before), np.concatenate(after), np.concatenate(weights), items, items
    )
    return RulesFromLastItem("sequential_rules", vocabulary, rows, popularity_share(sessions, items))
