"""What the vectors of a step are scored against, and what that costs: candidates, correction, loss."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import Batch, Strips, history_width
from rnnrec_model.fitting.candidates import Candidates, compact, fixed
from rnnrec_model.fitting.layers import of_length
from rnnrec_model.fitting.losses import ABSENT, LOSSES
from rnnrec_model.fitting.negatives import Inclusion, NegativeSampler
from rnnrec_model.fitting.network import BIAS, ROWS, Network
from rnnrec_model.fitting.objective import MaskedItem, NextItem
from rnnrec_model.fitting.sampled_softmax import Places, SampledSoftmax, scores_of
from rnnrec_model.fitting.workspace import Workspace
from rnnrec_model.sessions import Sessions, as_tensor
from rnnrec_model.vocabulary import Vocabulary


class Criterion:
    """The loss of a training, on the device it runs on.

    random         draws the negatives, and what is hidden
    precision      of the scores
    fixed_shapes   sizes depend on the shape of a batch only, not on its items
    """

    def __init__(
        self,
        network: Network,
        sessions: Sessions,
        vocabulary: Vocabulary,
        config: TrainingConfig,
        random: torch.Generator,
        precision: torch.dtype,
        fixed_shapes: bool,
    ) -> None:
        self._network, self._config = network, config
        self._precision, self._fixed_shapes = precision, fixed_shapes
        self._loss, self._count = LOSSES[config.loss], len(vocabulary)
        self._items = as_tensor(sessions.items).to(random.device)
        masking = network.masking
        self._questions = NextItem() if masking is None else MaskedItem(masking, random)
        counts = torch.as_tensor(vocabulary.counts.copy(), device=random.device)
        self._sampler = NegativeSampler(counts, 0.0 if self._loss.uniform else config.negative_alpha, random)
        self._inclusion: Inclusion | None = None
        if self._loss.corrected and config.logq > 0.0:
            holding = torch.as_tensor(sessions.holding(len(vocabulary)), device=random.device)
            self._inclusion = Inclusion(self._sampler.chance, holding, config.negatives)
        self._workspace = Workspace()
        self._scratch = torch.zeros(len(vocabulary), dtype=torch.int64, device=random.device)

    def before(self, batch: Batch) -> int:
        """How many events before a batch its sessions' loss looks at; of few widths in fixed shapes."""
        past = int(batch.past.max(initial=0))
        if self._config.exclude_seen or not self._loss.own:
            return history_width(past) if self._fixed_shapes else past
        return min(past, max(0, self._network.lags - self._questions.lead))

    def drawn(self) -> Tensor | None:
        """(negatives,) items that are drawn for one step; None: all items are candidates."""
        return self._sampler.draw(self._config.negatives) if self._loss.draws else None

    def candidates(self, where: Strips, drawn: Tensor | None = None) -> Candidates:
        """What these strips are asked, and the items that it is scored against.

        drawn   negatives, if they are drawn already
        """
        asked = self._questions(where)
        drawn = self.drawn() if drawn is None else drawn
        if self._fixed_shapes:
            return fixed(self._items, where, asked, drawn, self._scratch)
        return compact(self._items, where, asked, drawn)

    def losses(self, vectors: Tensor, rows: dict[str, Tensor], found: Candidates) -> Tensor:
        """(events,) loss of vectors (events, units) against the candidates' rows of each table."""
        matrix = rows[ROWS]
        additions = self._network.additions(vectors)
        recent, there = found.recent(additions.shape[1])
        additions = additions * there
        banned = self._banned(found, len(matrix))
        offset, own, own_offset = self._offsets(rows, found)
        if self._loss.softmax:
            places = Places(found.targets, recent, own, own_offset, banned)
            loss: Tensor = SampledSoftmax.apply(  # type: ignore[no-untyped-call]
                vectors, matrix, offset, additions, places, self._network.row_length, self._precision,
                self._workspace,
            )  # fmt: skip
            return loss
        scores = scores_of(vectors, of_length(matrix, self._network.row_length), self._precision) + offset.t()
        scores = scores.scatter_add(1, recent, additions)
        scores = scores if banned is None else scores.masked_fill(banned, ABSENT)
        return self._loss.of_scores(scores, found.targets, self._config, self._count)

    def _banned(self, found: Candidates, columns: int) -> Tensor | None:
        """(events, columns) which candidates are no negatives of an event; None: all are."""
        if not self._loss.own:
            return found.held(columns, self._workspace)
        return found.seen(columns, self._workspace) if self._config.exclude_seen else None

    def _offsets(
        self, rows: dict[str, Tensor], found: Candidates
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(candidates, 1) what every score gets, and which columns get how much of it back in an event's row.

        That is the bias, less the log chance to be a candidate; the items of the event's own session are
        candidates for certain. A second copy of an item is absent.
        """
        matrix, own, own_offset = rows[ROWS], None, None
        offset = rows.get(BIAS, matrix.new_zeros(len(matrix), 1))
        if self._inclusion is not None and found.items is not None:
            correction = self._config.logq * self._inclusion.log_chance(found.items, found.others)
            offset = offset - correction[:, None]
            own = found.own
            own_offset = correction[own]
        if found.first is not None:
            copies = found.first != torch.arange(len(found.first), device=offset.device)
            offset = offset.masked_fill(copies[:, None], ABSENT)
        return offset, own, own_offset
