"""What a model must beat: five ways of counting, chosen by name.

Each fits in a second or so and is a Scorer like any trained model. Sessions are given oldest first.
"""

from __future__ import annotations

from collections.abc import Callable

from rnnrec_model.counting import markov, popularity, sequential_rules, session_popularity, vsknn
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

BASELINES: dict[str, Callable[[Sessions, Vocabulary], Scorer]] = {
    "popularity": popularity.fit,
    "session_popularity": session_popularity.fit,
    "markov": markov.fit,
    "sequential_rules": sequential_rules.fit,
    "vsknn": vsknn.fit,
}
