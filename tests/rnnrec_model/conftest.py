"""What tests of several networks share."""

import pytest

from rnnrec_model.fitting.checkpoint import NAME
from rnnrec_model.fitting.trainer import Trainer


class Eager:
    """Records nothing: the step itself is what does it again."""

    replayed = 0

    def run(self, step):
        step()

    def record(self, step):
        def again():
            self.replayed += 1
            step()

        step()
        return again


@pytest.fixture
def recorder():
    """Stands for a GPU's recorder of steps, on the CPU."""
    return Eager()


class Killed(Exception):
    pass


@pytest.fixture
def killed_and_gone_on(monkeypatch, tmp_path):
    """`train(checkpoint=...)` dies before a step and leaves a checkpoint; what it makes when it goes on."""

    def twice(train, last):
        step = Trainer.step

        def dying(self, batch):
            if self.steps_done == last:
                raise Killed
            step(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", dying)
            with pytest.raises(Killed):
                train(checkpoint=tmp_path)
        assert (tmp_path / NAME).exists()
        return train(checkpoint=tmp_path)

    return twice
