"""A model on disk: weights and optimizer state as safetensors, settings as JSON, item ids as Parquet.

No pickle. Loading checks format, shapes and content, and refuses anything else; a saved model scores bit
for bit as it did before.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rnnrec_model.config import ModelConfig, TrainingConfig
from rnnrec_model.errors import ModelError, SavedModelError
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.recommender import Recommender
from rnnrec_model.vocabulary import Vocabulary

FORMAT = 1
WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"
CONFIG, VOCABULARY = "config.json", "vocabulary.parquet"
BEFORE = {"repeat_lags": 0}  # what models had that were saved before the setting was there


def save(recommender: Recommender, folder: Path) -> dict[str, str]:
    """Write the model's files into a folder; returns file name → sha256."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: w.detach().cpu().contiguous() for name, w in recommender.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    state = {name: s.cpu().contiguous() for name, s in recommender.optimizer_state.items()}
    save_file(state, folder / OPTIMIZER)
    settings = {
        "format": FORMAT,
        "name": recommender.name,
        "model": recommender.model_config.as_dict(),
        "training": recommender.training_config.as_dict(),
    }
    (folder / CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    vocabulary = recommender.vocabulary
    table = pa.table({"item_id": vocabulary.ids, "events": pa.array(vocabulary.counts)})
    pq.write_table(table, folder / VOCABULARY, compression="zstd")
    return {name: file_digest(folder / name) for name in (WEIGHTS, OPTIMIZER, CONFIG, VOCABULARY)}


def load(folder: Path, device: str = "cpu") -> Recommender:
    """Read a saved model. Raises SavedModelError naming the file and what is wrong with it."""
    folder = Path(folder)
    settings = _read_settings(folder / CONFIG)
    vocabulary = _read_vocabulary(folder / VOCABULARY)
    try:
        model = ModelConfig(**(BEFORE | settings["model"]))
        training = TrainingConfig(**settings["training"])
        network = Network(len(vocabulary), model, torch.Generator().manual_seed(0))
    except (ModelError, TypeError, KeyError) as error:
        raise SavedModelError(f"{folder / CONFIG}: expected the settings of a model; {error}") from None
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
        optimizer = load_file(folder / OPTIMIZER) if (folder / OPTIMIZER).exists() else {}
    except (OSError, SafetensorError, RuntimeError) as error:
        raise SavedModelError(
            f"{folder / WEIGHTS}: expected weights for {len(vocabulary)} items and {model}; {error}"
        ) from None
    return Recommender(network.to(device), vocabulary, training, optimizer, settings["name"])


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SavedModelError(f"{path}: expected a saved model's settings; {error}") from None
    if settings.get("format") != FORMAT:
        raise SavedModelError(
            f"{path}: expected format {FORMAT}; got {settings.get('format')!r}. "
            "Load it with the release that wrote it, or train again"
        )
    return settings


def _read_vocabulary(path: Path) -> Vocabulary:
    try:
        table = pq.read_table(path)
        ids = table.column("item_id").combine_chunks()
        counts = table.column("events").to_numpy()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise SavedModelError(f"{path}: expected item_id and events columns; {error}") from None
    return Vocabulary(ids, counts.astype(np.int64))
