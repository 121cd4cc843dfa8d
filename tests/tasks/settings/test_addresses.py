"""What of an address may be shown."""

from __future__ import annotations

import pytest

from tasks.settings import addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:hunter2@host:5000/a", "https://***@host:5000/a"),
        ("https://me:hunt/hunter2@host", "https://***@host"),
        ("https://host/a?token=hunter2", "https://host/a"),
        ("https://host/a#token=hunter2", "https://host/a"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////srv/a@b/mlflow.db", "sqlite:////srv/a@b/mlflow.db"),
    ],
)
def test_users_passwords_and_questions_are_not_shown(address: str, shown: str) -> None:
    assert addresses.shown(address) == shown
