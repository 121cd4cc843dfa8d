"""A model on disk, of whatever kind: arrays as safetensors, settings as JSON, item ids as Parquet.

No pickle. Loading checks format, shapes and content, and refuses anything else; a saved model scores bit
for bit as it did before.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rnnrec_model import models
from rnnrec_model.config import Settings, TrainingConfig
from rnnrec_model.contract import Saved
from rnnrec_model.digests import digests
from rnnrec_model.errors import ModelError, SavedModelError
from rnnrec_model.fitting.users import USER_IDS, USER_ROWS, Users
from rnnrec_model.scorer import Model
from rnnrec_model.vocabulary import Vocabulary

FORMAT = 2  # 1 knew recurrent models only
BY_SIZE = "by_size"  # which settings were `auto`; models that were saved before have none
WEIGHTS, CONFIG, VOCABULARY = "weights.safetensors", "config.json", "vocabulary.parquet"
OF_A_MACHINE: dict[str, Any] = {"threads": 1, "device": "auto", "checkpoint_minutes": 10.0}  # not the model's
UNSAID = {"trend": 0.0}  # what training was before it was a setting
BEFORE = {"repeat_lags": 0}  # what recurrent models had that were saved before the setting was there


def save(scorer: Model, folder: Path) -> dict[str, str]:
    """Write the model's files into a folder; returns file name → sha256."""
    folder, saved = Path(folder), scorer.saved()
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: array.detach().cpu().contiguous() for name, array in saved.arrays.items()}
    save_file(arrays, folder / WEIGHTS)
    settings = {
        "format": FORMAT,
        "kind": saved.kind,
        "name": saved.name,
        "settings": saved.settings.as_dict(),
        "training": saved.training and replace(saved.training.deciding, **OF_A_MACHINE).as_dict(),
    }
    settings |= _by_size(saved)
    (folder / CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    table = pa.table({"item_id": saved.vocabulary.ids, "events": pa.array(saved.vocabulary.counts)})
    pq.write_table(table, folder / VOCABULARY, compression="zstd")
    return digests(folder, (WEIGHTS, CONFIG, VOCABULARY))


def load(folder: Path) -> Model:
    """Read a saved model. Raises SavedModelError naming the file and what is wrong with it."""
    folder = Path(folder)
    told = _told(folder / CONFIG)
    kind, settings, training = _recipe(folder / CONFIG, told)
    vocabulary = _read_vocabulary(folder / VOCABULARY)
    try:
        saved = Saved(
            kind=kind,
            name=str(told["name"]),
            settings=settings,
            vocabulary=vocabulary,
            arrays=load_file(folder / WEIGHTS),
            training=training,
        )
        return models.find(kind).load(saved)
    except (OSError, SafetensorError, RuntimeError, ModelError) as error:
        raise SavedModelError(
            f"{folder / WEIGHTS}: expected weights for {len(vocabulary)} items and {settings}; {error}"
        ) from None


def users_in(weights: Path) -> list[Any] | None:
    """Ids of the users that a model's weights have rows for; None for a model that knows no users."""
    arrays = load_file(weights)
    named = {name: arrays[name] for name in USER_IDS if name in arrays}
    if not named:
        return None
    known = Users.from_arrays(named).known
    return [] if known is None else known.ids.to_pylist()


def drop_users(weights: Path, users: Collection[Any]) -> str:
    """Write a model's weights anew without these users; returns the sha256 of the file.

    All other values stay bit for bit. Raises SavedModelError where the file's users have no rows.
    """
    arrays = load_file(weights)
    known = Users.from_arrays({name: arrays.pop(name) for name in USER_IDS if name in arrays}).known
    rows = arrays.get(USER_ROWS)
    if known is None or rows is None or len(rows) != len(known) + 1:
        raise SavedModelError(f"{weights}: expected a row of {USER_ROWS} for each of its users, and nobody's")
    stays = pc.invert(pc.is_in(known.ids, pa.array(users, known.ids.type)))
    places = torch.tensor([*np.flatnonzero(stays), len(known)])
    left = known.ids.filter(stays)
    kept = Vocabulary(left, known.counts[: len(left)]) if len(left) else None
    save_file(arrays | {USER_ROWS: rows[places].contiguous()} | Users(kept).arrays(), weights)
    return digests(weights.parent, [weights.name])[weights.name]


def load_recipe(folder: Path) -> tuple[str, Settings, TrainingConfig | None]:
    """(kind, settings, how it was fitted) of a saved model as they were asked for, `auto` where they were.

    Without its weights. Raises SavedModelError.
    """
    path = Path(folder) / CONFIG
    kind, settings, training = _recipe(path, _told(path))
    return kind, settings.asked, None if training is None else training.asked


def load_sized(folder: Path) -> dict[str, Any]:
    """Which settings of a saved model were `auto`, and what they came out as. Raises SavedModelError."""
    path = Path(folder) / CONFIG
    _, *both = _recipe(path, _told(path))
    return {name: getattr(one, name) for one in both if one is not None for name in one.by_size}


def _by_size(saved: Saved) -> dict[str, dict[str, list[str]]]:
    """Names of settings that were `auto`: {"by_size": {"settings": [...], "training": [...]}}, if any."""
    told = {"settings": saved.settings.by_size, "training": saved.training and saved.training.by_size}
    named = {part: sorted({*names} - OF_A_MACHINE.keys()) for part, names in told.items() if names}
    named = {part: names for part, names in named.items() if names}
    return {BY_SIZE: named} if named else {}


def _told(path: Path) -> dict[str, Any]:
    told = _read_settings(path)
    try:
        told = _of_format_1(told) if told["format"] == 1 else told
        return told | {"name": str(told["name"]), "kind": str(told["kind"])}
    except (TypeError, KeyError) as error:
        raise SavedModelError(f"{path}: expected the settings of a model; {error}") from None


def _recipe(path: Path, told: dict[str, Any]) -> tuple[str, Settings, TrainingConfig | None]:
    try:
        by_size = {"settings": (), "training": ()} | told.get(BY_SIZE, {})
        settings = models.find(told["kind"]).settings(**told["settings"]).told(by_size["settings"])
        training = None
        if told["training"] is not None:
            training = TrainingConfig(**(UNSAID | told["training"])).told(by_size["training"])
    except (ModelError, TypeError, KeyError) as error:
        raise SavedModelError(f"{path}: expected the settings of a model; {error}") from None
    return told["kind"], settings, training


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SavedModelError(f"{path}: expected a saved model's settings; {error}") from None
    found = settings.get("format") if isinstance(settings, dict) else None
    if found not in (1, FORMAT):
        raise SavedModelError(
            f"{path}: expected format {FORMAT}; got {found!r}. "
            "Load it with the release that wrote it, or train again"
        )
    return settings


def _of_format_1(settings: dict[str, Any]) -> dict[str, Any]:
    """Format 1 had no kind: all models were recurrent."""
    return settings | {"kind": "recurrent", "settings": BEFORE | settings["model"]}


def _read_vocabulary(path: Path) -> Vocabulary:
    try:
        table = pq.read_table(path)
        ids, counts = (table.column(name).combine_chunks() for name in ("item_id", "events"))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise SavedModelError(f"{path}: expected item_id and events columns; {error}") from None
    typed = ids.type in (pa.int64(), pa.string()) and not ids.null_count
    if not typed or not pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():
        raise SavedModelError(f"{path}: expected integers or strings as item_id, sorted, distinct, no nulls")
    if (
        counts.type != pa.int64()
        or counts.null_count
        or not pc.all(pc.greater_equal(counts, 0), min_count=0).as_py()
    ):
        raise SavedModelError(f"{path}: expected counts as events; got {counts.type}, negative or null ones")
    return Vocabulary(ids, counts.to_numpy(zero_copy_only=False).copy())
