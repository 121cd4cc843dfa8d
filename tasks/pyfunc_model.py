"""What `mlflow.pyfunc.load_model("models:/rnnrec@champion")` runs: recent items in, ranked rows out.

Shipped inside the model as code, together with a copy of `rnnrec_model`; it may import nothing else of ours.
All lists of a call are answered in one batch, by the very code that fills `user_recommendations`.
"""

import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from rnnrec_model.answers import answer, load_serving
from rnnrec_model.saving import load


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow asks for type hints, which would replace our signature

    class Predictor(PythonModel):
        """Input: a column `items`, in each row a list of recent item ids, oldest first. Parameter: k."""

        def load_context(self, context):  # type: ignore[no-untyped-def]
            folder = Path(context.artifacts["recommender"])
            self.recommender, self.serving = load(folder), load_serving(folder)

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            """Rows (row, rank, item_id, score, source), k for each list; k = 0 is the tables' own k."""
            lists = [list(one) for one in _lists(model_input)]
            asked = pa.array(lists, pa.list_(self.recommender.vocabulary.ids.type))
            k = int((params or {}).get("k", 0)) or None
            return answer(self.recommender, self.serving, asked, k=k).to_pandas()


def _lists(model_input):  # type: ignore[no-untyped-def]
    return model_input["items"] if isinstance(model_input, pd.DataFrame) else model_input


set_model(Predictor())
