"""What tests of several networks share."""

import pytest


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
