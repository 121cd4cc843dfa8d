"""The learning rate of every step, against numbers worked out by hand."""

from typing import get_args, get_type_hints

import pytest

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.schedules import SCHEDULES, rate


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("constant", 0.0, [2, 2, 2, 2]),
        ("constant", 0.5, [1, 2, 2, 2]),
        ("linear", 0.0, [2, 1.5, 1, 0.5]),
        ("linear", 0.5, [1, 1.5, 1, 0.5]),
        ("cosine", 0.0, [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5]),
        ("cosine", 1.0, [0.5, (1 + 0.5**0.5) / 2, 0.75, 1 - 0.5**0.5]),
        ("late", 0.0, [2, 2, 2, 1.25]),
        ("late", 0.5, [1, 2, 2, 1.25]),
    ],
)
def test_the_rate_of_four_steps_rises_over_the_warmup_and_falls_along_its_schedule(schedule, warmup, rates):
    config = TrainingConfig(learning_rate=2.0, schedule=schedule, warmup=warmup)
    assert [rate(config, done, 4) for done in range(4)] == pytest.approx(rates)


def test_the_settings_offer_the_schedules_there_are():
    assert set(get_args(get_type_hints(TrainingConfig)["schedule"])) == {"auto", *SCHEDULES}
