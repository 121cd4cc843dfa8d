"""A fitted network together with the ids it knows: what scores sessions, and what is saved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnrec_model.config import Settings, TrainingConfig
from rnnrec_model.contract import Saved
from rnnrec_model.errors import ConfigError
from rnnrec_model.fitting.batches import grid, scoring_plan
from rnnrec_model.fitting.layers import of_length
from rnnrec_model.fitting.network import BIAS, ROWS, Draw, Network, with_ends
from rnnrec_model.fitting.objective import with_masks
from rnnrec_model.fitting.readings import readings
from rnnrec_model.fitting.users import lane_users
from rnnrec_model.scorer import Representation, scores_of
from rnnrec_model.sessions import Sessions, as_tensor
from rnnrec_model.vocabulary import Indices, Vocabulary

SCORING_EVENTS = 4096
SCORING_STEPS = 64


@dataclass
class Recommender:
    """Scores sessions of item indices; the scores of a session do not depend on its neighbours."""

    network: Network
    vocabulary: Vocabulary
    training_config: TrainingConfig
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or self.network.kind

    @property
    def model_config(self) -> Settings:
        """The network's settings."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.tables()[ROWS].device

    def to(self, device: str) -> None:
        """Score there from now on."""
        self.network.to(torch.device(device))

    @property
    @torch.no_grad()
    def item_matrix(self) -> Tensor:
        """(items, units): a score is the inner product of a session's vector with an item's row."""
        return of_length(self.network.tables()[ROWS].detach(), self.network.row_length)

    @property
    def item_bias(self) -> Tensor:
        """(items,) added to every score; zeros where the model has none."""
        bias = self.network.tables().get(BIAS)
        if bias is None:
            return torch.zeros(len(self.vocabulary), device=self.device)
        return bias.detach().squeeze(1)

    def represent_steps(self, sessions: Sessions) -> Representation:
        """(events - sessions) rows: what is known where a next item follows, sessions in order."""
        inputs = (sessions.lengths - 1).clip(min=0)
        return self._represent(sessions, inputs, last_only=False)

    def represent_some(self, sessions: Sessions, steps: Indices) -> Representation:
        """(steps,) these rows of represent_steps: of a state all come by, of a window each is read alone."""
        window = self.network.window
        if window is None:
            return self.represent_steps(sessions).take(steps)
        return self.represent_last(sessions.beginnings(max(window, self.network.lags), steps))

    def represent_last(self, sessions: Sessions) -> Representation:
        """(sessions) rows: what is known after each session's last item."""
        return self._represent(sessions, sessions.lengths, last_only=True)

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) scores at every position that has a next item."""
        return scores_of(self, self.represent_steps(sessions))

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) scores after each session's last item."""
        return scores_of(self, self.represent_last(sessions))

    def saved(self) -> Saved:
        """Weights, and settings of network and training."""
        return Saved(
            kind=self.network.kind,
            name=self.name,
            settings=self.model_config,
            vocabulary=self.vocabulary,
            arrays=dict(self.network.state_dict()),
            training=self.training_config,
        )

    def _represent(self, sessions: Sessions, inputs: Indices, last_only: bool) -> Representation:
        lags, known = self.network.lags, self._known(sessions, inputs, last_only)
        if not lags:
            return Representation(known)
        units = known.shape[1] - lags
        recent, there = sessions.recent(inputs, lags, last_only)
        device = self.device
        by = known[:, units:] * torch.as_tensor(there, device=device)
        return Representation(known[:, :units].contiguous(), torch.as_tensor(recent, device=device), by)

    @torch.no_grad()
    def _known(self, sessions: Sessions, inputs: Indices, last_only: bool) -> Tensor:
        """(rows, units + lags) vectors and the additions to the scores of the last items."""
        network, device = self.network, self.device
        items = as_tensor(sessions.items).to(device)
        tables = network.tables()
        table, units = tables[network.input_table], tables[ROWS].shape[1]
        masked = network.masking is not None
        read = readings(sessions.offsets[:-1], inputs, last_only, network.window, masked)
        longest = SCORING_STEPS if network.window is None else network.window
        skipped, first = (torch.as_tensor(one, device=device) for one in (read.skipped, read.rows))
        rows = len(inputs) if last_only else int(inputs.sum())
        vectors = torch.zeros(rows, units + network.lags, device=device)
        by_event = None if network.users is None else network.users.by_event(sessions, device)
        ended = None if sessions.ended is None else torch.as_tensor(sessions.ended, device=device)
        states: list[Tensor] = []
        for batch in scoring_plan(read.starts, read.lengths, SCORING_EVENTS, longest):
            if not read.lengths[batch.rows].any():
                continue
            starts = torch.as_tensor(batch.starts, device=device)
            lengths = torch.as_tensor(batch.lengths, device=device)
            cells, real = grid(starts, lengths, batch.steps)
            states = network.zero_state(len(starts)) if batch.first else states
            shown = table[items[cells]]
            shown = shown if ended is None else with_ends(shown, ended[cells], network.boundary)
            if by_event is not None and network.user_rows is not None:
                shown = lane_users(network.user_rows, by_event, starts, lengths).beside(shown)
            known, states = self._said(shown, states, lengths)
            additions = network.additions(known.flatten(0, 1)).view(*known.shape[:2], -1)
            known = torch.cat((known, additions), dim=-1)[:, : len(batch.rows)]
            lanes = torch.as_tensor(batch.rows, device=device)
            past = torch.as_tensor(batch.past[: len(lanes)], device=device)
            answer = past + torch.arange(batch.steps, device=device)[:, None] - skipped[lanes]
            kept = real[:, : len(lanes)] & (answer >= 0)
            vectors[(first[lanes] + answer)[kept]] = known[kept]
        return vectors

    def _said(self, rows: Tensor, states: list[Tensor], lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the network says of the place after each input, and its next states.

        One from which items are hidden says it of the place behind each lane's last input alone.
        """
        if self.network.masking is None:
            return self.network(rows, states)
        rows, shown = with_masks(rows, lengths)
        vectors, states = self.network(rows, states, shown=shown)
        return vectors[1:], states


def load(draw: Draw, saved: Saved) -> Recommender:
    """What was saved of such a network. Raises ConfigError, or what torch raises, when it cannot be that."""
    if saved.training is None:
        raise ConfigError("expected the settings of its training; got none")
    network = draw(len(saved.vocabulary), torch.Generator().manual_seed(0))
    network.load_state_dict(dict(saved.arrays))
    return Recommender(network, saved.vocabulary, saved.training, saved.name)
