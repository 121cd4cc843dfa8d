"""What `auto` means is a table: literal sizes, literal settings."""

import pytest

from rnnrec_model import sizing
from rnnrec_model.attention.settings import Bert4recConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import ConfigError
from rnnrec_model.models import find
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sizing import Size

TINY, LARGE = Size(120, 50, 12), Size(50_000_000, 9_000_000, 400_000)


def test_whoever_writes_a_number_gets_it_at_any_size() -> None:
    given = TrainingConfig(epochs=3, negatives=7)
    for size in (TINY, LARGE):
        sized = given.sized(size)
        assert (sized.epochs, sized.negatives) == (3, 7)
        assert "epochs" not in sized.by_size
        assert "learning_rate" in sized.by_size


@pytest.mark.parametrize("settings", [TrainingConfig(), RecurrentConfig()])
@pytest.mark.parametrize("size", [TINY, LARGE, Size(0, 0, 0)])
def test_what_is_sized_has_values_only_and_tells_what_was_asked(
    settings: TrainingConfig | RecurrentConfig, size: Size
) -> None:
    sized = settings.sized(size)
    assert all(getattr(sized, name) != "auto" for name in sized.by_size)
    assert sized.by_size
    assert sized.asked == settings
    assert sized.sized(LARGE) is sized
    assert settings.by_size == ()


def test_the_table_has_a_value_for_every_step_and_numbers_go_one_way() -> None:
    assert list(sizing.FROM_EVENTS) == sorted({0, *sizing.FROM_EVENTS})
    for rows in (sizing.STEPS, *sizing.OF_KIND.values()):
        for name, row in rows.items():
            assert len(row) == len(sizing.FROM_EVENTS), name
            if not isinstance(row[0], str):
                assert list(row) in (sorted(row), sorted(row, reverse=True)), name


def test_rows_of_a_kind_are_of_a_kind_that_there_is_and_of_settings_that_every_kind_has() -> None:
    for kind, rows in sizing.OF_KIND.items():
        assert find(kind).settings.sized_as == kind
        assert rows.keys() <= sizing.STEPS.keys()


@pytest.mark.parametrize("kind", [RecurrentConfig, Bert4recConfig])
@pytest.mark.parametrize("step", sizing.FROM_EVENTS[1:])
def test_a_shop_that_grows_by_an_event_is_shown_two_thirds_of_its_events_at_least(
    kind: type[RecurrentConfig | Bert4recConfig], step: int
) -> None:
    sizes = [Size(events, events // 5, 50_000) for events in (step - 1, step)]
    before, after = (TrainingConfig().sized(one, kind().sized(one).settled).epochs for one in sizes)
    assert after >= before * 0.66


def test_a_step_begins_with_its_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "FROM_EVENTS", (0, 1_000))
    monkeypatch.setitem(sizing.STEPS, "units", (8, 16))
    rule = sizing.step("units")
    assert [rule(Size(events, 1, 1), {}) for events in (0, 999, 1_000, 10**9)] == [8, 8, 16, 16]


def test_a_kind_with_rows_of_its_own_is_trained_by_them_and_all_else_by_those_of_every_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sizing, "OF_KIND", {"bert4rec": {"epochs": (77,) * len(sizing.FROM_EVENTS)}})
    of_others = TrainingConfig().sized(TINY)
    assert of_others.epochs != 77
    assert TrainingConfig().sized(TINY, RecurrentConfig().sized(TINY).settled) == of_others
    masked = TrainingConfig().sized(TINY, Bert4recConfig().sized(TINY).settled)
    assert (masked.epochs, masked.learning_rate) == (77, of_others.learning_rate)
    assert TrainingConfig(epochs=3).sized(TINY, Bert4recConfig().settled).epochs == 3


def test_only_settings_with_a_rule_may_be_auto() -> None:
    with pytest.raises(ConfigError, match="patience: expected a number"):
        TrainingConfig(patience="auto")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"expected names of .* auto; got .'patience'"):
        TrainingConfig().told(["patience"])


@pytest.mark.parametrize(
    ("events", "items", "expected"),
    [  # units, dropout of embedding and state, scale, loss, negatives, events a batch, rate, schedule, epochs
        (120, 50, (100, 0.35, 0.2, 12.0, "full_cross_entropy", 4096, 512, 0.006, "linear", 14)),
        (100_000, 13_000, (100, 0.35, 0.2, 12.0, "cross_entropy", 4096, 512, 0.006, "late", 10)),
        (100_000, 4_608, (100, 0.35, 0.2, 12.0, "full_cross_entropy", 4096, 512, 0.006, "late", 10)),
        (400_000, 20_000, (160, 0.2, 0.1, 14.0, "cross_entropy", 2048, 1024, 0.008, "linear", 10)),
        (1_000_000, 30_000, (160, 0.1, 0.1, 16.0, "cross_entropy", 2048, 1024, 0.008, "linear", 10)),
        (2_500_000, 60_000, (160, 0.1, 0.1, 16.0, "cross_entropy", 2048, 1024, 0.008, "linear", 8)),
        (50_000_000, 400_000, (160, 0.1, 0.1, 16.0, "cross_entropy", 2048, 1024, 0.008, "linear", 3)),
    ],
)
def test_the_settings_of_a_size(events: int, items: int, expected: tuple[object, ...]) -> None:
    size = Size(events, events // 5, items)
    own = RecurrentConfig().sized(size)
    fitted = TrainingConfig().sized(size, own.settled)
    found = (own.units, own.embedding_dropout, own.hidden_dropout, own.scale, fitted.loss, fitted.negatives)
    assert (*found, fitted.batch_events, fitted.learning_rate, fitted.schedule, fitted.epochs) == expected
    assert (fitted.threads, fitted.warmup, fitted.clip_norm) == (1, 0.0, 5.0)


def test_whoever_writes_few_negatives_scores_all_items_of_fewer_only() -> None:
    losses = [TrainingConfig(negatives=100).sized(Size(900, 90, items)).loss for items in (100, 101)]
    assert losses == ["full_cross_entropy", "cross_entropy"]


def test_a_batch_of_a_written_size_counts_for_what_it_holds() -> None:
    losses = [TrainingConfig(batch_events=64).sized(Size(900, 90, items)).loss for items in (4_160, 4_161)]
    assert losses == ["full_cross_entropy", "cross_entropy"]


def test_a_shop_of_three_thousand_items_has_the_exact_loss_before_and_after_its_200_000th_event() -> None:
    """Half as many are drawn from there on, beside the items of batches twice as large: 3,072 together."""
    losses = {
        (events, items): TrainingConfig().sized(Size(events, events // 5, items)).loss
        for events in (199_999, 200_000, 2_999_999)
        for items in (3_000, 3_072, 3_073)
    }
    sampled = {key for key, loss in losses.items() if loss == "cross_entropy"}
    assert sampled == {(200_000, 3_073), (2_999_999, 3_073)}


def test_wide_layers_have_two_threads() -> None:
    wide, narrow = (RecurrentConfig(units=units).as_dict() for units in (256, 255))
    assert [TrainingConfig().sized(TINY, one).threads for one in (wide, narrow)] == [2, 1]
