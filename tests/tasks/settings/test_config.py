"""The configuration: what a wrong one is answered, and what a digest stands for."""

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from rnnrec_model import models
from rnnrec_model.config import MetricName
from tasks.errors import ConfigurationError
from tasks.models import recipes
from tasks.settings.config import DECIDES_NOTHING, Config, load_config

ROOT = Path(__file__).parents[3]


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
        ("[engine]\nworkers = 2", r"engine\.workers: .*; is training\.workers meant\?"),
        ("[training]\nepoch = 3", r"training\.epoch: unknown key; expected one of batch_events, .*epochs"),
        (
            "[trainign]\nepochs = 3",
            r"trainign: unknown key; expected one of alerts, audits, checks, engine, evaluation, events",
        ),
        ("[training]\nepochs = '3'", r"training\.epochs: expected auto, or a number .*; got '3'"),
        ("[training]\nepochs = 0", r"training\.epochs: expected auto, or a number from 1 to 10000; got 0"),
        ("[training]\nepochs = 'Auto'", r"epochs: expected auto, or a number from 1 to 10000; got 'Auto'"),
        ("[training]\npatience = 'auto'", r"patience: .*; got 'auto'"),
        ("[training]\nloss = 'bce'", r"training\.loss: .*'bpr'.*; got 'bce'"),
        ("[events]\ntimezone = 'Mars/Base'", r"events\.timezone: .*IANA time zone.*; got 'Mars/Base'"),
        (
            "[sessions]\nmin_length = 9\nmax_length = 3",
            r"sessions\.max_length: expected at least min_length = 9; got 3",
        ),
        ("[sessions]\nwindow_days = 1", r"window_days: expected at least 2"),
        ("[training]\nepoch = 3", r"training\.epoch: .*; did you mean 'epochs'\?"),
        ("[training]\nloss = 'cros_entropy'", r"got 'cros_entropy'; did you mean 'cross_entropy'\?"),
        ("training = 3", r"training: .*; got 3"),
        (
            "[gate]\nmetric = 'mrr@20'",
            r"gate\.metric: .*got 'mrr@20'; did you mean 'mrr_at_20'\?",
        ),
        ("[gate]\nmetric = 'mrr_at_50'", r"gate\.metric: expected one of recall_at_5, .*got 'mrr_at_50'"),
        ("[warehouse]\nroot = ''", r"warehouse\.root: .*at least 1 character; got ''"),
        ("[evaluation]\ncutoffs = [10]", r"gate\.metric: expected one of .*mrr_at_10.*got 'mrr_at_20'"),
        ("[evaluation]\nbaselines = ['markof']", r"evaluation\.baselines\.0: .*; did you mean 'markov'\?"),
        ("[evaluation]\nbaselines = ['champion']", r"evaluation\.baselines\.0: expected one of recurrent"),
        (
            "[gate]\ncandidates = ['gru']",
            r"gate\.candidates\.0: expected one of recurrent, .*popularity.*; got 'gru'\. It is a cell of "
            r'recurrent: ask for recurrent, with cell = "gru" in \[models\.recurrent\]',
        ),
        (
            "[gate]\nchallenger = 'recurrent'",
            r"gate\.challenger: is called gate\.candidates now, .*write candidates = \[\"recurrent\"\]",
        ),
        ("[gate]\nmin_improvement = 0.1", r"gate\.min_improvement: is gone: .*gate\.tolerance.*gate\.margin"),
        ("[gate]\ncandidates = []", r"gate\.candidates: .*at least 1"),
        ("[gate]\ncandidates = ['markov', 'recurrent', 'markov']", r"gate\.candidates: .*several of markov"),
        ("[gate]\nmust_beat = ['markov', 'markov']", r"gate\.must_beat: expected each name once"),
        ("[models.fresh]\nkind = 'vsknn'", r"models\.fresh: .*none of fresh, published"),
        ("[models.x]\nkind = 'vsknm'", r"models\.x\.kind: expected one of .*; did you mean 'vsknn'\?"),
        ("[models.gru]\nunits = 3", r"models\.gru\.kind: expected one of recurrent, .*; got 'gru'"),
        ("[models.vsknn]\nsampel = 3", r"models\.vsknn\.sampel: unknown key; .*did you mean 'sample'\?"),
        (
            "[models.x]\nkind = 'vsknn'\nunits = 3",
            r"models\.x\.units: unknown key; expected one of kind, idf",
        ),
        ("[models.vsknn]\nsample = 0", r"models\.vsknn\.sample: expected a number from 1 to .*; got 0"),
        ("[models.markov]\nsample = 0", r"models\.markov\.sample: unknown key; expected one of kind"),
        ("[models.recurrent]\nunits = '3'", r"models\.recurrent\.units: expected auto, or .*; got '3'"),
        ("[models.champion]\nkind = 'vsknn'", r"models\.champion: expected a name in small letters"),
        ("[models.'My model']\nkind = 'vsknn'", r"models\.My model: expected a name in small letters"),
        (
            "[models.popularity]\nkind = 'recurrent'\nunits = 1",
            r"models\.popularity\.kind: expected 'popularity', as popularity is the name of a kind.*"
            r"; got 'recurrent'\. Call the section something else",
        ),
        ("[models.markov]\nkind = 'vsknn'", r"models\.markov\.kind: expected 'markov'.*; got 'vsknn'"),
        ("[models]\nrecurrent = 3", r"models\.recurrent: expected a section with the settings .*; got 3"),
        ("models = 3", r"models: expected a section for each model, as in \[models\.recurrent\]; got 3"),
        ("[model]\nunits = 3", r"model: is called models\.recurrent now; write \[models\.recurrent\]"),
        (
            "[recommendations]\nexclude_seen = true",
            r"recommendations\.exclude_seen: is called recommendations\.exclude now; write exclude = "
            r"\"session\" for true, exclude = \"nothing\" for false",
        ),
        ("[recommendations]\nexclude = 'sesion'", r"exclude: .*got 'sesion'; did you mean 'session'\?"),
        (
            "[training]\nexclude_seen = true",
            r"recommendations\.exclude: expected 'session' or 'window', .*got 'last_item'; .*_seen = false",
        ),
        ("[recommendations]\nactive_days = 9", r"active_days: expected at most sessions\.window_days = 7"),
        ("[events.columns]\nuser_id = ''", r"events\.columns\.user_id: .*; got ''"),
        (
            "[events.columns]\nuser_id = 'item_id'",
            r"events\.columns\.item_id: .*'item_id' is named by user_id too",
        ),
        ("[events]\nsources = ['']", r"events\.sources: expected globs of files"),
        (
            "[events]\nsources = ['gs://me:hunter2@logs/*']",
            r"events\.sources: .*bring the files there, or here",
        ),
        ("[registry]\nmodel_name = 'a/b'", r"registry\.model_name: .*; got 'a/b'"),
        ("[registry]\ntracking_uri = 'localhost:5000'", r"tracking_uri: expected an address such as http"),
        ("[training", "expected a TOML file"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected_and_what_came(tmp_path, text, says):
    with pytest.raises(ConfigurationError, match=says):
        load_config(written(tmp_path, text))


@pytest.mark.parametrize(
    "setting",
    [
        "tracking_uri = 'https://me:hunter2@host:5000'",
        "tracking_uri = 'https://me:hunt/hunter2@host:5000'",
        "tracking_uri = 'https://host:5000/?password=hunter2'",
        "tracking_uri = 'https://host:5000/a?b=1&access_token=hunter2'",
        "tracking_uri = 'https://host:5000/a#token=hunter2'",
        "tracking_uri = 'https://host:5000/a;sig=hunter2'",
        "tracking_uri = 'https://host:5000/?%70assword=hunter2'",
        "tracking_uri = 'postgresql://me@host/db?sslmode=require&password=hunter2'",
        "tracking_uri = ['https://me:hunter2@host']",
        "experiment = ['https://me:hunter2@host']",
        "tracking_url = 'https://me:hunter2@host'",
    ],
)
def test_a_secret_in_the_registry_s_section_is_refused_and_not_repeated(tmp_path, setting):
    with pytest.raises(ConfigurationError, match="registry") as refused:
        load_config(written(tmp_path, f"[registry]\n{setting}"))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "key", ["events.timezone", "gate.metric", "models.recurrent.cell", "sessions.repeats"]
)
def test_an_address_where_none_belongs_is_not_repeated(tmp_path, key):
    with pytest.raises(ConfigurationError, match=f"{key}: .*; what came is not shown") as refused:
        load_config(written(tmp_path, ""), {key: "https://me:hunter2@host/x"})
    assert "hunter2" not in str(refused.value)


def test_a_whole_section_that_is_an_address_is_not_repeated(tmp_path):
    with pytest.raises(ConfigurationError, match="registry") as refused:
        load_config(written(tmp_path, "registry = 'https://me:hunter2@host'"))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["https://me:hunter2@host/x", "me:hunter2@host"])
@pytest.mark.parametrize(
    "key",
    [
        "events.timezone",
        "events.columns.user_id",
        "events.format",
        "gate.metric",
        "models.recurrent.cell",
        "training.epochs",
        "registry.model_name",
        "alerts.slack_env",
        "evaluation.baselines",
        "nowhere.at_all",
        "gate",
    ],
)
def test_an_address_with_a_user_is_repeated_for_no_setting(tmp_path, key, address):
    with pytest.raises(ConfigurationError) as refused:
        load_config(written(tmp_path, ""), {"events.columns.item_id": address, key: address})
    said = str(refused.value)
    assert key.split(".")[0] in said
    assert "hunter2" not in said
    assert "got '" not in said or "not shown" not in said


@pytest.mark.parametrize("dotted", ["https://me:hunter2@host/x", "gate.https://me:hunter2@host/x"])
def test_an_address_in_the_place_of_a_key_is_not_repeated(tmp_path, dotted):
    with pytest.raises(ConfigurationError) as refused:
        load_config(written(tmp_path, ""), {dotted: "1"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:5000",
        "http://[::1]:5000/mlflow",
        "postgresql://me@host:5432/db?sslmode=require&sslkey=/etc/key.pem",
        "sqlite:////srv/a:b@c/mlflow.db",
    ],
)
def test_an_address_without_a_secret_is_taken(tmp_path, address):
    assert (
        load_config(written(tmp_path, f"[registry]\ntracking_uri = '{address}'")).registry.tracking_uri
        == address
    )


def test_settings_that_only_a_night_uses_together_are_not_asked_of_others(tmp_path):
    cfg = load_config(written(tmp_path, "[evaluation]\ncutoffs = [1]"), for_a_night=False)
    assert cfg.evaluation.cutoffs == (1,)


def test_active_days_that_are_left_out_are_as_many_as_the_window_allows(tmp_path):
    assert load_config(written(tmp_path, "[sessions]\nwindow_days = 3")).sessions.window_days == 3


def test_the_names_by_which_settings_are_checked_are_those_of_the_metrics():
    from rnnrec_model.ranking.metrics import METRICS

    assert tuple(METRICS) == get_args(MetricName)


def test_a_model_without_a_section_has_all_defaults_and_one_with_a_section_its_own(tmp_path):
    cfg = load_config(written(tmp_path, "[models.wide]\nkind = 'recurrent'\nunits = 256"))
    assert cfg.model("recurrent").as_dict()["units"] == "auto"
    assert cfg.model("wide").as_dict() == cfg.model("recurrent").as_dict() | {"units": 256}
    assert cfg.model("markov").as_dict() == {"kind": "markov"}


@pytest.mark.parametrize("name", models.names())
def test_a_kinds_name_always_means_a_model_of_that_kind(tmp_path, name):
    other = next(kind for kind in models.names() if kind != name)
    with pytest.raises(ConfigurationError, match=rf"models\.{name}\.kind: expected '{name}'.*got '{other}'"):
        load_config(written(tmp_path, ""), {f"models.{name}.kind": other})
    said = load_config(written(tmp_path, ""), {f"models.{name}.kind": name})
    assert said.model(name) == load_config(written(tmp_path, "")).model(name)


def test_an_override_of_a_model_needs_no_section_in_the_file(tmp_path):
    cfg = load_config(written(tmp_path, ""), {"models.recurrent.units": "64", "gate.candidates": ["vsknn"]})
    assert cfg.model("recurrent").as_dict()["units"] == 64
    assert cfg.gate.candidates == ("vsknn",)


def test_models_that_no_night_uses_are_in_no_digest(tmp_path):
    here = load_config(written(tmp_path, "")).digest()
    assert load_config(written(tmp_path, "[models.wide]\nkind = 'recurrent'")).digest() == here
    unused, used = {"models.sequential_rules.steps": 7}, {"models.recurrent.units": 7}
    assert load_config(written(tmp_path, ""), unused).digest() == here
    assert load_config(written(tmp_path, ""), used).digest() != here
    assert load_config(written(tmp_path, ""), {"gate.candidates": ["vsknn"]}).digest() != here


@pytest.mark.parametrize(
    ("key", "value", "decides"),
    [
        ("alerts.slack_env", "RNNREC_ALERT", False),
        ("audits.max_size", 10.0, False),
        ("events.sources", ("elsewhere/*.ndjson",), False),
        ("registry.experiment", "another", False),
        ("training.threads", 2, False),
        ("training.device", "cpu", False),
        ("warehouse.threads", 1, False),
        ("warehouse.memory_gb", 1.0, False),
        ("gate.tolerance", 0.5, True),
        ("models.recurrent.units", 7, True),
        ("recommendations.k", 7, True),
        ("registry.model_name", "another", True),
        ("rules.per_category", 0, False),  # as it is by default
        ("sessions.gap_minutes", 7.0, True),
        ("training.epochs", 3, True),
        ("training.shards", 2, True),
    ],
)
def test_settings_decide_what_a_night_makes_of_its_events_or_do_not(tmp_path, key, value, decides):
    path = written(tmp_path, "")
    assert (
        load_config(path, {key: value}).deciding_digest() != load_config(path).deciding_digest()
    ) == decides


def test_how_many_workers_decides_where_their_sums_are_fast(tmp_path):
    path = written(tmp_path, "")
    digests = {
        sums: {
            load_config(
                path, {"training.sums": sums, "training.shards": 3, "training.workers": workers}
            ).deciding_digest()
            for workers in (1, 2, 3)
        }
        for sums in ("ordered", "fast")
    }
    assert {sums: len(found) for sums, found in digests.items()} == {"ordered": 1, "fast": 3}


def test_every_setting_decides_that_is_not_named_as_deciding_nothing():
    known = Config().as_dict()
    named = {(section, key) for section, keys in DECIDES_NOTHING.items() for key in keys or known[section]}
    of_training = {key for section, key in named if section == "training"}
    assert of_training == set(recipes.MACHINE) - {"minutes"}  # no recipe, but it may end a training early
    assert [(section, key) for section, key in named if key not in known[section]] == []


def test_loading_a_configuration_imports_nothing_heavy():
    code = (
        "import sys, tasks.settings.config; from pathlib import Path\n"
        "tasks.settings.config.load_config('rnnrec.toml')\n"
        "heavy = {'torch', 'mlflow', 'prefect', 'duckdb', 'deltalake', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_wrong_setting_is_told_at_once(tmp_path):
    with pytest.raises(ConfigurationError, match="2 wrong setting"):
        load_config(written(tmp_path, "[training]\nepochs = 'a'\n[sessions]\ngap_minutes = -1"))


def test_every_wrong_setting_is_told_with_its_key_once_whichever_way_it_is_wrong(tmp_path):
    overrides = {
        "training.epochs": 0,
        "training.loss": "bce",
        "training.units": 3,
        "models.recurrent.layers": 99,
        "models.recurrent.scale": "wide",
        "gate.metric": "mrr",
        "sessions.max_length": 2,
        "sessions.min_length": 9,
        "sessions.window_days": 1,
        "events.timezone": "Mars/Base",
        "alerts.slack_env": "a-b",
        "alerts.blocks": ["none"],
    }
    with pytest.raises(ConfigurationError) as refused:
        load_config(written(tmp_path, ""), overrides)
    head, *lines = str(refused.value).splitlines()
    assert head.endswith("11 wrong setting(s)")
    keys = [line.split(":")[0].strip() for line in lines]
    assert sorted(keys) == sorted(set(overrides) - {"sessions.min_length"})
    assert not [line for key, line in zip(keys, lines, strict=True) if line.count(key) > 1]
    assert not [line for line in lines if "Value error" in line or line.count("; got ") > 1]


def test_what_an_override_made_wrong_is_not_blamed_on_the_file(tmp_path):
    file = written(tmp_path, "[training]\nepochs = 3")
    with pytest.raises(ConfigurationError) as refused:
        load_config(file, {"gate.metric": "recall_at_7"})
    head, line = str(refused.value).splitlines()
    assert head == f"--set ({file} itself is right): 1 wrong setting(s)"
    assert line.startswith("  gate.metric: expected one of ")
    wrong = written(tmp_path, "[training]\nepochs = 'a'")
    with pytest.raises(ConfigurationError) as refused:
        load_config(wrong, {"gate.metric": "recall_at_7"})
    heads = [line for line in str(refused.value).splitlines() if not line.startswith(" ")]
    assert heads == [f"{wrong}: 1 wrong setting(s)", "--set: 1 wrong setting(s)"]


def test_settings_are_not_called_unfit_beside_a_section_that_is_wrong_itself(tmp_path):
    wrong = {"gate.metric": "mrr_at_50", "evaluation.cutoffs": [50], "evaluation.max_sessions": 0}
    with pytest.raises(ConfigurationError, match="1 wrong setting"):
        load_config(written(tmp_path, ""), wrong)


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


def test_the_file_in_the_repository_is_valid_and_says_nothing_but_defaults():
    cfg = load_config(ROOT / "rnnrec.toml")
    assert cfg.as_dict() == Config().as_dict()


def test_a_command_for_the_same_settings_names_the_file_and_what_was_overridden_but_no_alert(tmp_path):
    file = tmp_path / "our shop.toml"
    file.touch()
    given = {"training.epochs": 3, "alerts.slack_env": "OURS", "events.where": '"kind = 1"'}
    cfg = load_config(file, given)
    assert cfg.again(date(2026, 3, 11), "checks.min_volume=0") == (
        f"rnnrec nightly --config '{file}' --set training.epochs=3 --set 'events.where=\"kind = 1\"' "
        "--night 2026-03-11 --set checks.min_volume=0"
    )


def test_a_command_names_no_file_that_is_taken_anyway(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rnnrec.toml").touch()
    assert load_config("rnnrec.toml").again(date(2026, 3, 11)) == "rnnrec nightly --night 2026-03-11"


def test_a_refusal_of_the_library_names_its_key_once(tmp_path: Path) -> None:
    path = tmp_path / "rnnrec.toml"
    path.touch()
    with pytest.raises(ConfigurationError) as refused:
        load_config(path, {"training.workers": 100})
    assert "training.workers: expected at most training.shards (1)" in str(refused.value)
    assert "training.training" not in str(refused.value)
