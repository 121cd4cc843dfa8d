"""A trained network together with the ids it knows: what scores sessions, and what is saved."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.errors import ConfigError
from rnnrec_model.fitting.batches import grid, scoring_plan
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.scorer import Representation
from rnnrec_model.sessions import Sessions, as_tensor
from rnnrec_model.vocabulary import Indices, Vocabulary

SCORING_EVENTS = 4096
SCORING_STEPS = 64


@dataclass
class Recommender:
    """Scores sessions of item indices; the scores of a session do not depend on its neighbours.

    optimizer_state   named tensors to go on training from, or empty
    """

    network: Network
    vocabulary: Vocabulary
    training_config: TrainingConfig
    optimizer_state: dict[str, Tensor] = field(default_factory=dict)
    name: str = "recurrent"

    @property
    def model_config(self) -> RecurrentConfig:
        """The network's settings."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.item_rows.device

    @property
    @torch.no_grad()
    def item_matrix(self) -> Tensor:
        """(items, units): a score is the inner product of a session's vector with an item's row."""
        return self.network.output_of(self.network.item_rows.detach())

    @property
    def item_bias(self) -> Tensor:
        """(items,) added to every score; zeros where the model has none."""
        bias = self.network.item_bias
        if bias is None:
            return torch.zeros(self.network.items, device=self.device)
        return bias.detach().squeeze(1)

    def represent_steps(self, sessions: Sessions) -> Representation:
        """(events - sessions) rows: what is known where a next item follows, sessions in order."""
        inputs = (sessions.lengths - 1).clip(min=0)
        return self._represent(sessions, inputs, last_only=False)

    def represent_last(self, sessions: Sessions) -> Representation:
        """(sessions) rows: what is known after each session's last item."""
        return self._represent(sessions, sessions.lengths, last_only=True)

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) scores at every position that has a next item."""
        return self._score(self.represent_steps(sessions))

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) scores after each session's last item."""
        return self._score(self.represent_last(sessions))

    def saved(self) -> Saved:
        """Weights and settings of network and training, and the optimizer's state."""
        return Saved(
            kind="recurrent",
            name=self.name,
            settings=self.model_config,
            vocabulary=self.vocabulary,
            arrays=dict(self.network.state_dict()),
            training=self.training_config,
            optimizer=self.optimizer_state,
        )

    def _score(self, known: Representation) -> Tensor:
        scores = known.vectors @ self.item_matrix.t() + self.item_bias
        known.raise_scores(scores)
        return scores

    def _represent(self, sessions: Sessions, inputs: Indices, last_only: bool) -> Representation:
        units, lags = self.model_config.units, self.model_config.repeat_lags
        known = self._hidden(sessions, inputs, last_only)
        if not lags:
            return Representation(known)
        recent, there = sessions.recent(inputs, lags, last_only)
        device = self.device
        by = known[:, units:] * torch.as_tensor(there, device=device)
        return Representation(known[:, :units].contiguous(), torch.as_tensor(recent, device=device), by)

    @torch.no_grad()
    def _hidden(self, sessions: Sessions, inputs: Indices, last_only: bool) -> Tensor:
        network, device = self.network, self.device
        items = as_tensor(sessions.items).to(device)
        shift = torch.as_tensor(inputs.cumsum() - inputs - sessions.offsets[:-1], device=device)
        rows = len(inputs) if last_only else int(inputs.sum())
        vectors = torch.zeros(rows, network.config.units + network.config.repeat_lags, device=device)
        table = network.item_rows if network.input_rows is None else network.input_rows
        states: list[Tensor] = []
        for batch in scoring_plan(sessions.offsets[:-1], inputs, SCORING_EVENTS, SCORING_STEPS):
            if not inputs[batch.rows].any():
                continue
            starts = torch.as_tensor(batch.starts, device=device)
            lengths = torch.as_tensor(batch.lengths, device=device)
            cells, real = grid(starts, lengths, batch.steps)
            states = network.zero_state(len(starts)) if batch.first else states
            hidden, states = network(network.input_of(table[items[cells]]), states)
            raises = network.raises(hidden.flatten(0, 1)).view(*hidden.shape[:2], -1)
            hidden = torch.cat((hidden, raises), dim=-1)
            if last_only:
                self._keep_last(vectors, hidden, inputs, batch.rows, batch.starts, lengths, sessions)
            else:
                to_row = torch.zeros(len(starts), dtype=torch.long, device=device)
                to_row[: len(batch.rows)] = shift[torch.as_tensor(batch.rows, device=device)]
                vectors[(cells + to_row)[real]] = hidden[real]
        return vectors

    def _keep_last(
        self,
        vectors: Tensor,
        hidden: Tensor,
        inputs: Indices,
        rows: Indices,
        starts: Indices,
        lengths: Tensor,
        sessions: Sessions,
    ) -> None:
        done = starts[: len(rows)] - sessions.offsets[rows]
        ends = (done < inputs[rows]) & (inputs[rows] - done <= len(hidden))
        lanes = torch.as_tensor(ends.nonzero()[0], device=hidden.device)
        vectors[torch.as_tensor(rows[ends], device=hidden.device)] = hidden[lengths[lanes] - 1, lanes]


def fit(settings: RecurrentConfig, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting) -> Fitted:
    """Fit a network. Raises DataError, TrainingError and ConfigError as training does."""
    from rnnrec_model.fitting.training import train

    earlier = fitting.warm_start
    if not (earlier is None or isinstance(earlier, Recommender)):
        raise ConfigError(f"warm start: expected a recurrent model; got {earlier.name}. Start cold")
    trained = train(
        sessions,
        vocabulary,
        settings,
        fitting.training,
        validation=fitting.validation,
        warm_start=earlier,
        checkpoint=fitting.checkpoint,
        on_epoch=fitting.on_epoch,
        stop_after=fitting.stop_after,
    )
    return Fitted(trained.recommender, tuple(trained.history), trained.epochs)


def load(saved: Saved) -> Recommender:
    """What was saved. Raises ConfigError for settings and RuntimeError for weights that do not fit."""
    if saved.training is None:
        raise ConfigError("expected the settings of its training; got none")
    network = Network(len(saved.vocabulary), saved.settings, torch.Generator().manual_seed(0))
    network.load_state_dict(dict(saved.arrays))
    return Recommender(network, saved.vocabulary, saved.training, dict(saved.optimizer or {}), saved.name)
