"""A model as consumers load it: a models-from-code pyfunc around its files, listed with their sha256."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from rnnrec_model.digests import digests

MODEL, RECOMMENDER = "model", "artifacts/recommender"
PREDICTOR = Path(__file__).with_name("pyfunc_model.py")
LEFT_BY_READERS = {"registered_model_meta", "__pycache__"}  # what loading a local model leaves in its folder


def package(folder: Path, target: Path) -> Path:
    """A models-from-code pyfunc around the files: no pickle, and its own copy of the model library."""
    import rnnrec_model

    library = target.with_name("code") / "rnnrec_model"
    not_code = shutil.ignore_patterns("__pycache__", "pyproject.toml")
    shutil.copytree(Path(rnnrec_model.__path__[0]), library, ignore=not_code)
    recommender = target.with_name("recommender")
    shutil.copytree(folder, recommender)
    with warnings.catch_warnings():
        # MLflow wants an example to run the model on; ours, below, runs nothing
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            target,
            python_model=str(PREDICTOR),
            artifacts={"recommender": str(recommender)},
            code_paths=[str(library)],
            pip_requirements=_requirements(),
            signature=_signature(_item_type(folder)),
        )
    _add_example(target, {"columns": ["items"], "data": [[_example_items(folder)]]})
    return target


def code_digest() -> str:
    """sha256 of all code that a package carries: other code may answer otherwise with the same weights."""
    import rnnrec_model

    found = hashes(Path(rnnrec_model.__path__[0]))
    found = {name: digest for name, digest in found.items() if name.endswith(".py")}
    found |= digests(PREDICTOR.parent, [PREDICTOR.name])
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """Path below the folder → sha256 of every file in it."""
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    ours = [path for path in files if not LEFT_BY_READERS & set(path.parts)]
    return digests(folder, (path.as_posix() for path in ours))


def _add_example(target: Path, frame: dict[str, Any]) -> None:
    """What MLflow writes for an input example, but for the run of the model to see whether it fits."""
    from mlflow.models import Model

    asked = {"input_example.json": frame, "serving_input_example.json": {"dataframe_split": frame}}
    for name, content in asked.items():
        (target / name).write_text(json.dumps(content))
    described = Model.load(target)
    described.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
    }
    described.save(target / "MLmodel")


def _item_type(folder: Path) -> str:
    import pyarrow as pa
    from pyarrow import parquet

    found = parquet.read_schema(folder / "vocabulary.parquet").field(0).type
    return "long" if pa.types.is_integer(found) else "string"


def _example_items(folder: Path) -> list[Any]:
    from pyarrow import parquet

    return list(parquet.read_table(folder / "popular.parquet").slice(0, 3)["item_id"].to_pylist())


def _requirements() -> list[str]:
    """What a consumer needs, in the versions that made the model."""
    from importlib.metadata import version

    names = ("mlflow", "numpy", "pandas", "pyarrow", "safetensors", "torch")
    return [f"{name}=={version(name).split('+')[0]}" for name in names]


def _signature(item_type: str) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    item = DataType[item_type]
    answers = [("row", DataType.long), ("rank", DataType.integer), ("item_id", item)]
    answers += [("score", DataType.float), ("source", DataType.string)]
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(Array(item), "items"),
                ColSpec(Array(item), "seen", required=False),
                ColSpec(DataType.string, "user_id", required=False),
                ColSpec(Array(Array(item)), "earlier", required=False),
            ]
        ),
        outputs=Schema([ColSpec(kind, name) for name, kind in answers]),
        params=ParamSchema([ParamSpec("k", DataType.long, 0)]),
    )
