"""What `mlflow.pyfunc.load_model("models:/rnnrec@champion")` runs: recent items in, ranked rows out.

Shipped inside the model as code, together with a copy of `rnnrec_model`; it may import nothing else of ours.
All lists of a call are answered in one batch, by the very code that fills `user_recommendations`.
"""

from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from rnnrec_model.earlier import Earlier
from rnnrec_model.fitting.machine import cpu_threads
from rnnrec_model.ranking.answers import answer, load_answering
from rnnrec_model.saving import load

ONE_AT_A_TIME = Lock()  # torch's threads are the process's: two calls would each leave the other's behind


class Predictor(PythonModel):
    """Input: a column `items`, in each row a list of recent item ids, oldest first. Parameter: k.

    A second column, `seen`, may say what else each user had: where the tables leave out all that users had in
    the window, so do the answers. A third, `user_id`, may say whose each list is, for models that know users.
    A fourth, `earlier`, may say what each user did before: a list of sessions, oldest first, each a list of
    items; it is read before the list, as the tables do where they are asked from all of the window.
    Calls of several threads are answered one after the other, each by one thread of the processor.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the files beside this code."""
        folder = Path(context.artifacts["recommender"])
        self.recommender, self.answering = load(folder), load_answering(folder)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Rows (row, rank, item_id, score, source), k for each list; k = 0 is the tables' own k."""
        kind = pa.list_(self.recommender.vocabulary.ids.type)
        asked, seen = (_lists(model_input, name, kind) for name in ("items", "seen"))
        before = _lists(model_input, "earlier", pa.list_(kind))
        earlier = None if before is None else Earlier.of(before)
        answering = replace(self.answering, k=int((params or {}).get("k", 0)) or self.answering.k)
        users = pa.array(model_input["user_id"], from_pandas=True) if "user_id" in model_input else None
        known = {"seen": seen, "users": users, "earlier": earlier}
        with ONE_AT_A_TIME, cpu_threads(1):  # as the tables are made: more threads round otherwise
            return answer(self.recommender, answering, asked, over=True, **known).rows.to_pandas()


def _lists(given: pd.DataFrame, column: str, kind: pa.DataType) -> pa.Array | None:
    """A column of lists; what is no list, such as a missing value, is an empty one."""
    if column not in given:
        return None
    lists = [list(one) if pd.api.types.is_list_like(one) else [] for one in given[column]]
    return pa.array(lists, kind)


set_model(Predictor())
