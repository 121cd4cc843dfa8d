"""Starting from an earlier model whose vocabulary was another one.

Known items keep their rows and optimizer state, new ones keep the fresh initialisation, vanished ones are
dropped. Dense weights and their optimizer state carry over whole. What an optimizer kept is of use to one
that keeps rows as wide: for an item's row adagrad keeps one number and adamw as many as the row has, so after
a change of optimizer the weights are taken and its state begins afresh.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from rnnrec_model.errors import ConfigError
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.recommender import Recommender
from rnnrec_model.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def warm_network(
    network: Network,
    optimizer_state: dict[str, Tensor],
    vocabulary: Vocabulary,
    optimizer: str,
    earlier: Recommender,
) -> None:
    """Overwrite what `earlier` knows. Raises ConfigError when the networks have different shapes."""
    if earlier.model_config != network.config:
        raise ConfigError(
            f"warm start: expected a model of the same settings, {network.config}; "
            f"got {earlier.model_config}. Start cold after a change of [model]"
        )
    device = network.item_rows.device
    old_rows = torch.as_tensor(earlier.vocabulary.encode(vocabulary.ids), device=device)
    known = old_rows >= 0
    tables = network.tables()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            old = earlier.network.get_parameter(name).to(device)
            _carry(weight.data, old, name in tables, known, old_rows)
        if not _of_use(earlier, optimizer, optimizer_state):
            return
        for name, state in optimizer_state.items():
            if name in earlier.optimizer_state:
                is_table = name.rsplit(".", 1)[0] in tables
                _carry(state, earlier.optimizer_state[name].to(device), is_table, known, old_rows)


def _of_use(earlier: Recommender, optimizer: str, state: dict[str, Tensor]) -> bool:
    """Is the earlier optimizer's state what this one would have kept? Says so in the log when it is not."""
    kept = earlier.optimizer_state
    fits = all(kept[name].shape[1:] == state[name].shape[1:] for name in kept.keys() & state.keys())
    if kept and fits:
        return True
    saved = f"of {earlier.training_config.optimizer}" if kept else "that was not saved"
    log.info("warm start: weights are the earlier model's; state %s is of no use: %s begins afresh",
             saved, optimizer)  # fmt: skip
    return False


def _carry(new: Tensor, old: Tensor, is_table: bool, known: Tensor, old_rows: Tensor) -> None:
    if is_table:
        new[known] = old[old_rows[known]]
    else:
        new.copy_(old)
