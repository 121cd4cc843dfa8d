"""Starting from an earlier model whose vocabulary was another one.

Known items keep their rows and optimizer state, new ones keep the fresh initialisation, vanished ones are
dropped. Dense weights and their optimizer state carry over whole. What an optimizer kept is of no use to
another one: after a change of optimizer the weights are taken and its state begins afresh.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import ConfigError
from rnnrec_model.fitting.network import ROWS, Network
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.scorer import Scorer
from rnnrec_model.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def warm_network(
    network: Network,
    optimizer_state: dict[str, Tensor],
    vocabulary: Vocabulary,
    config: TrainingConfig,
    earlier: Scorer,
) -> None:
    """Overwrite what `earlier` knows. Raises ConfigError when it is no such network."""
    if not isinstance(earlier, Recommender) or earlier.network.kind != network.kind:
        raise ConfigError(
            f"warm start: expected a model of kind {network.kind}; got {earlier.name}. Start cold"
        )
    if earlier.network.config != network.config:
        raise ConfigError(
            f"warm start: expected a model of the same settings, {network.config}; "
            f"got {earlier.network.config}. Start cold after a change of the model"
        )
    tables = network.tables()
    device = tables[ROWS].device
    old_rows = torch.as_tensor(earlier.vocabulary.encode(vocabulary.ids), device=device)
    known = old_rows >= 0
    old_weights = earlier.network.tables() | earlier.network.dense()
    with torch.no_grad():
        for name, weight in (tables | network.dense()).items():
            _carry(weight.data, old_weights[name].to(device), name in tables, known, old_rows)
        if not _of_use(earlier, config.optimizer, optimizer_state):
            return
        for name, state in optimizer_state.items():
            if name in earlier.optimizer_state:
                is_table = name.rsplit(".", 1)[0] in tables
                _carry(state, earlier.optimizer_state[name].to(device), is_table, known, old_rows)


def _of_use(earlier: Recommender, optimizer: str, state: dict[str, Tensor]) -> bool:
    """Is the earlier optimizer's state what this one would have kept? Says so in the log when it is not."""
    kept, saved_by = earlier.optimizer_state, earlier.training_config.optimizer
    fits = all(kept[name].shape[1:] == state[name].shape[1:] for name in kept.keys() & state.keys())
    if kept and fits and saved_by == optimizer:
        return True
    saved = f"of {saved_by}" if kept else "that was not saved"
    log.info("warm start: weights are the earlier model's; state %s is of no use: %s begins afresh",
             saved, optimizer)  # fmt: skip
    return False


def _carry(new: Tensor, old: Tensor, is_table: bool, known: Tensor, old_rows: Tensor) -> None:
    if is_table:
        new[known] = old[old_rows[known]]
    else:
        new.copy_(old)
