"""Several networks that answer with one voice: the mean of what each says, listed and saved as one is."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model import saving
from rnnrec_model.attention.settings import SasrecConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.errors import DataError
from rnnrec_model.fitting.ensembles import NEXT_SEED, Ensemble
from rnnrec_model.models import find
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

TRAINING = TrainingConfig(
    epochs=2, batch_events=8, negatives=4, learning_rate=0.02, device="cpu", precision="float32"
)
ITEMS = Vocabulary(pa.array(range(12)), np.arange(1, 13))
SMALL = {"units": 8, "embedding_dropout": 0.2, "hidden_dropout": 0.0, "scale": 12.0, "repeat_lags": 3}
OURS = {
    "recurrent": RecurrentConfig(**SMALL, members=3),
    "sasrec": SasrecConfig(**SMALL, members=2),
}


def random_sessions(seed=0, count=40):
    random = np.random.default_rng(seed)
    return Sessions.of([random.integers(0, 12, random.integers(2, 9)).tolist() for _ in range(count)])


SESSIONS = random_sessions()


def fitted(kind="recurrent", settings=None, **training):
    how = Fitting(training=dataclasses.replace(TRAINING, **training))
    return find(kind).fit(settings or OURS[kind], SESSIONS, ITEMS, how)


@pytest.fixture(scope="module", params=OURS)
def ensemble(request):
    return fitted(request.param).scorer


def test_the_score_of_an_item_is_the_mean_of_the_members_scores(ensemble):
    for asked in ("score_steps", "score_last"):
        mean = sum(getattr(one, asked)(SESSIONS) for one in ensemble.members) / len(ensemble.members)
        assert torch.allclose(getattr(ensemble, asked)(SESSIONS), mean, atol=1e-5)


def test_each_member_is_the_network_of_a_seed_of_its_own(ensemble):
    kind = ensemble.name
    alone = dataclasses.replace(OURS[kind], members=1)
    for number, member in enumerate(ensemble.members):
        one = fitted(kind, alone, seed=1 + number * NEXT_SEED).scorer
        assert torch.equal(member.score_last(SESSIONS), one.score_last(SESSIONS))
    assert not torch.equal(ensemble.members[0].item_matrix, ensemble.members[1].item_matrix)


def test_ranks_by_its_factors_are_those_of_its_scores(ensemble):
    frame = Predictions.next_items(SESSIONS, ITEMS)
    scores = ensemble.score_steps(SESSIONS).double()
    targets = torch.tensor(frame.targets)
    ranks = (scores >= scores.gather(1, targets[:, None])).sum(1)
    assert evaluate(ensemble, frame).ranks.tolist() == ranks.tolist()


def test_a_session_is_scored_alike_in_any_company(ensemble):
    whole = ensemble.score_last(SESSIONS)
    assert torch.allclose(ensemble.score_last(SESSIONS.slice(7, 8)), whole[7:8], atol=1e-6)


def test_saved_and_loaded_it_scores_bit_for_bit_the_same(ensemble, tmp_path):
    saving.save(ensemble, tmp_path)
    again = saving.load(tmp_path)
    assert isinstance(again, Ensemble)
    assert torch.equal(again.score_last(SESSIONS), ensemble.score_last(SESSIONS))
    training = dataclasses.replace(TRAINING, **saving.OF_A_MACHINE)
    assert saving.load_recipe(tmp_path)[1:] == (OURS[ensemble.name], training)


def test_arrays_of_more_members_than_the_settings_say_are_refused(ensemble):
    saved = ensemble.saved()
    fewer = dataclasses.replace(saved.settings, members=len(ensemble.members) - 1)
    with pytest.raises((DataError, RuntimeError)):
        find(saved.kind).load(dataclasses.replace(saved, settings=fewer))


def test_epochs_are_counted_through_all_members_and_a_refit_takes_as_many_of_each():
    heard = []
    how = Fitting(training=TRAINING, on_epoch=lambda report: heard.append(report.epoch))
    found = find("recurrent").fit(OURS["recurrent"], SESSIONS, ITEMS, how)
    assert heard == [1, 2, 3, 4, 5, 6]
    assert (found.epochs, len(found.history)) == (2, 6)
    short = dataclasses.replace(how, stop_after=1)
    assert len(find("recurrent").fit(OURS["recurrent"], SESSIONS, ITEMS, short).history) == 3


def test_one_member_is_a_network_as_ever():
    assert not isinstance(fitted(settings=dataclasses.replace(OURS["recurrent"], members=1)).scorer, Ensemble)


def test_what_is_auto_is_told_of_all_members():
    settings = dataclasses.replace(OURS["recurrent"], units="auto")
    found = fitted(settings=settings, learning_rate="auto")
    assert found.sized.items() >= {"units": 100, "learning_rate": 0.006}.items()
    assert "learning_rate" in found.scorer.saved().training.by_size


def test_killed_within_a_member_it_goes_on_to_the_same_weights_without_the_members_before(tmp_path):
    class Killed(Exception):
        pass

    def dies_in_the_second(report):
        if report.epoch == 3:
            raise Killed

    heard = []
    training = dataclasses.replace(TRAINING, checkpoint_minutes=1e-9)
    how = Fitting(training=training, checkpoint=tmp_path, on_epoch=dies_in_the_second)
    with pytest.raises(Killed):
        find("recurrent").fit(OURS["recurrent"], SESSIONS, ITEMS, how)
    how = dataclasses.replace(how, on_epoch=lambda report: heard.append(report.epoch))
    again = find("recurrent").fit(OURS["recurrent"], SESSIONS, ITEMS, how)
    assert torch.equal(again.scorer.score_last(SESSIONS), fitted().scorer.score_last(SESSIONS))
    assert heard == [3, 4, 5, 6]
    assert len(again.history) == 6
    assert list(tmp_path.rglob("*.safetensors")) == []
