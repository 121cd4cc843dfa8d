"""The configuration: what a wrong one is answered, and what a digest stands for."""

from pathlib import Path

import pytest

from tasks.config import Config, load_config
from tasks.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def written(tmp_path, text):
    path = tmp_path / "rnnrec.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_all_defaults(tmp_path):
    cfg = load_config(written(tmp_path, ""))
    assert cfg.as_dict() == Config().as_dict()
    assert cfg.root == tmp_path / "warehouse"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[training]\nepoch = 3", r"training\.epoch: unknown key; expected one of batch_events, .*epochs"),
        ("[trainign]\nepochs = 3", r"trainign: unknown key; expected one of evaluation, events"),
        ("[training]\nepochs = '3'", r"training\.epochs: .*valid integer; got '3'"),
        ("[training]\nepochs = 0", r"training\.epochs: expected a number from 1 to 10000; got 0"),
        ("[training]\nloss = 'bce'", r"training\.loss: .*'bpr'.*; got 'bce'"),
        ("[events]\ntimezone = 'Mars/Base'", r"events\.timezone: .*IANA time zone.*; got 'Mars/Base'"),
        ("[sessions]\nmin_length = 9\nmax_length = 3", r"sessions: .*max_length >= min_length; got 3 < 9"),
        ("[sessions]\nwindow_days = 1", r"window_days: expected at least 2"),
        ("training = 3", r"training: .*; got 3"),
        ("[training", "expected a TOML file"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected_and_what_came(tmp_path, text, says):
    with pytest.raises(ConfigurationError, match=says):
        load_config(written(tmp_path, text))


def test_a_password_in_the_registry_s_address_is_refused_and_not_repeated(tmp_path):
    text = "[registry]\ntracking_uri = 'https://me:hunter2@host:5000'"
    with pytest.raises(ConfigurationError, match=r"registry: .*MLFLOW_TRACKING_PASSWORD") as refused:
        load_config(written(tmp_path, text))
    assert "hunter2" not in str(refused.value)


def test_every_wrong_setting_is_told_at_once(tmp_path):
    with pytest.raises(ConfigurationError, match="2 wrong setting"):
        load_config(written(tmp_path, "[training]\nepochs = 'a'\n[sessions]\ngap_minutes = -1"))


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigurationError, match="rnnrec init"):
        load_config(tmp_path / "none.toml")


def test_overrides_are_dotted_keys_with_toml_values(tmp_path):
    path = written(tmp_path, "[training]\nepochs = 9")
    cfg = load_config(path, {"training.epochs": "3", "training.loss": "bpr", "evaluation.cutoffs": [20]})
    assert (cfg.training.epochs, cfg.training.loss, cfg.evaluation.cutoffs) == (3, "bpr", (20,))


@pytest.mark.parametrize("key", ["epochs", "training.epochs.more"])
def test_an_override_that_names_no_setting_is_refused(tmp_path, key):
    with pytest.raises(ConfigurationError, match="override"):
        load_config(written(tmp_path, "[training]\nepochs = 9"), {key: "3"})


def test_the_digest_changes_with_a_setting_and_not_with_the_folder(tmp_path):
    (tmp_path / "a").mkdir()
    here, there = written(tmp_path, ""), written(tmp_path / "a", "")
    assert load_config(here).digest() == load_config(there).digest()
    assert load_config(here).digest() != load_config(here, {"training.epochs": 3}).digest()


def test_the_file_in_the_repository_is_valid_and_complete():
    cfg = load_config(ROOT / "rnnrec.toml")
    for section, settings in cfg.as_dict().items():
        text = (ROOT / "rnnrec.toml").read_text()
        assert f"[{section}" in text
        assert all(key in text for key in settings)
