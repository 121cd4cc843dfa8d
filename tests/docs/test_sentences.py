"""Sentences of the documents that name a number, a file or a rule of the code say what the code says."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any, get_args

import night_driver as driver
import pytest
import typer
import yaml
from prefect.settings.models.flows import FlowsSettings
from typer.core import TyperOption

from flows import demo
from flows.cli import app
from flows.server import deployment, local, processes, surroundings
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.training import VALIDATION_SHARE
from rnnrec_model.models import MODELS
from rnnrec_model.recurrent.cells import CELLS
from tasks.checks import bands
from tasks.errors import ConfigurationError
from tasks.models.verdicts import Verdict
from tasks.publishing import comparison, publications, readers
from tasks.running import logs, stopping
from tasks.settings.config import Config, load_config
from tasks.settings.sections import AuditsConfig, ChecksConfig
from tasks.stages import shell
from tasks.store import delta, parquet, tables
from tasks.store.store import Store

ROOT = Path(__file__).parents[2]
ALS = ROOT / "rnnrec_model" / "factors" / "als.py"
PAGES = {
    path.stem.lower(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
FLAT = {name: " ".join(text.split()) for name, text in PAGES.items()}
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
PREFECT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
AUDITS, CHECKS = AuditsConfig(), ChecksConfig()
SQL = sorted((ROOT / "tasks").glob("*/sql/*.sql"))


def default(command: str, option: str) -> Any:
    """What an option of the command line is when nobody gives it."""
    group: Any = typer.main.get_command(app)
    (found,) = [one for one in group.commands[command].params if option in one.opts]
    return found.default


def constant(path: str, name: str) -> str:
    """A module's constant as it is written, without importing what it needs."""
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    (found,) = [
        ast.unparse(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return found


STALE_HOURS = round(inspect.signature(delta.clean_stale).parameters["older_than_hours"].default)
RETRY_SECONDS = str(shell.RETRY_SECONDS)
WORDS = ("no", "one", "two", "three", "four", "five")
WAIT_SECONDS = surroundings.SERVER["PREFECT_SERVER_DATABASE_TIMEOUT"]
PORT = default("server", "--port")
HOME = inspect.signature(local.run).parameters["home"].default


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("runbook", f"starts the Prefect server on loopback (port {PORT};"),
        ("runbook", f"The server's memory is `{HOME}`"),
        ("runbook", f"the process pool `{deployment.POOL}`"),
        ("runbook", f"prefect worker start --pool {deployment.POOL} --type process"),
        ("runbook", f"the stage was tried again after {RETRY_SECONDS} seconds"),
        ("runbook", f"once they are {STALE_HOURS} hours old"),
        ("runbook", f"the staged tables, {STALE_HOURS} hours"),
        ("runbook", f"the check ends {comparison.COMPARED_DAYS} days after the last publication"),
        ("runbook", {0.5: "with less than half the users or items of the one before"}[AUDITS.min_size]),
        ("runbook", {0.5: "fewer than half the users or items"}[AUDITS.min_size]),
        ("runbook", {3.0: "more than three times the users or items"}[AUDITS.max_size]),
        ("runbook", f"under {AUDITS.min_users_kept:.0%} of those".replace("%", " %")),
        ("runbook", f"up by more than {100 * AUDITS.max_fallback_rise:.0f} points"),
        ("runbook", f"under {AUDITS.min_overlap:.0%} of items in common".replace("%", " %")),
        ("runbook", {0.5: "1 - Gini, under half of what it was"}[AUDITS.min_evenness]),
        ("runbook", {0.5: "under half the share of items it was"}[AUDITS.min_coverage]),
        ("runbook", f"over {AUDITS.max_sameness:.0%} of the night's visitors".replace("%", " %")),
        ("runbook", f"under {CHECKS.min_volume:.0%} of the events of such a day".replace("%", " %")),
        ("runbook", f"from {bands.ENOUGH_EVENTS:,.0f} events on"),
        ("runbook", f"an ordinary day has {CHECKS.max_missing_hours:.0%} of its".replace("%", " %")),
        ("runbook", f"warns: over {CHECKS.max_volume:.0f} times the events"),
        ("runbook", f"events of new items up by {100 * CHECKS.max_new_items_rise:.0f} points"),
        ("runbook", f"refused lines up by {100 * CHECKS.max_rejected_rise:.0f} points"),
        ("runbook", f"newest publication of the {comparison.COMPARED_DAYS} days before"),
        ("runbook", f"a heartbeat every {FlowsSettings().heartbeat_frequency} seconds"),
        ("runbook", f"({default('status', '--max-age').replace('h', ' hours')} if not given)"),
        ("runbook", {30: "after half a minute of silence"}[logs.SILENCE_SECONDS]),
        ("runbook", f"or {stopping.GRACE_SECONDS:.0f} seconds later in the middle of one"),
        ("runbook", f"is not waited for longer than {stopping.TELL_SECONDS:.0f} seconds"),
        ("runbook", f"ended after {processes.STOP_SECONDS:.0f} seconds each"),
        ("runbook", f"The exit code is {128 + SIGTERM} for SIGTERM and {128 + SIGINT} for SIGINT"),
        ("runbook", f"they wait for each other, up to {WAIT_SECONDS} seconds"),
        ("runbook", f'set_registered_model_alias("{Config().registry.model_name}", "champion"'),
        ("readme", f"in the MLflow UI, at {demo.RUNS}: "),
        ("runbook", demo.RUNS),
        ("data", f"Staged files of dead runs are deleted after {STALE_HOURS} hours"),
        ("data", f"row groups of {parquet.ROW_GROUP:,} rows"),
        ("data", f"over the digests of the {WORDS[len(tables.OUTPUTS)]} output tables"),
        ("data", f"JSON: {', '.join(Verdict('fresh', 'fresh', '', {}, 0, 0).as_dict())} |"),
        ("configuration", f"on the newest {100 * VALIDATION_SHARE:.0f} % of the sessions"),
    ],
)
def test_a_sentence_with_a_number_of_the_code_has_that_number(page: str, sentence: str) -> None:
    assert sentence in FLAT[page]


def test_no_word_of_a_help_is_taken_for_a_style() -> None:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        for said in (command.help, *(one.help for one in command.params if isinstance(one, TyperOption))):
            assert not re.search(r"(?<!\\)\[[a-z@#/]", said or ""), (
                f"{name}: brackets want \\ before them: {said}"
            )


def test_helps_fit_eighty_columns_as_they_are_written() -> None:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        _, *others = inspect.getdoc(command.callback).split("\n\n")  # of the first, the lines flow
        for line in "\n".join(others).splitlines():
            assert len(line) <= 78, f"{name}: {line}"


def test_only_evaluate_needs_no_configuration_file() -> None:
    assert "Only `rnnrec evaluate` needs no file" in FLAT["configuration"]
    group: Any = typer.main.get_command(app)
    defaults = {
        name: one.default
        for name, command in group.commands.items()
        for one in command.params
        if "--config" in one.opts
    }
    assert {name for name, value in defaults.items() if value is None} == {"evaluate"}
    assert {str(value) for value in defaults.values() if value is not None} == {"rnnrec.toml"}


def test_an_override_is_read_as_toml_and_as_text_where_it_is_none(tmp_path: Path) -> None:
    assert '`lstm` is text, `3` a number, `"3"` text again' in FLAT["configuration"]
    path = tmp_path / "rnnrec.toml"
    path.touch()
    given = {"models.recurrent.cell": "lstm", "training.epochs": "3", "evaluation.cutoffs": "[10, 20]"}
    cfg = load_config(path, given)
    assert cfg.model("recurrent").as_dict()["cell"] == "lstm"
    assert (cfg.training.epochs, cfg.evaluation.cutoffs) == (3, (10, 20))
    with pytest.raises(ConfigurationError):
        load_config(path, {"training.epochs": '"3"'})


def test_relative_paths_start_at_the_file_s_own_folder_and_no_folder_is_in_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "start at the **file's own folder**, wherever the command is called" in FLAT["configuration"]
    assert (
        "is the sha256 of the settings after overrides, `[alerts]` aside, as JSON with sorted keys"
        in FLAT["configuration"]
    )
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rnnrec.toml").touch()
        monkeypatch.chdir(tmp_path)
        found.append(load_config(f"{name}/rnnrec.toml", {"warehouse.threads": 1}))
    assert [cfg.root for cfg in found] == [tmp_path / "one" / "warehouse", tmp_path / "other" / "warehouse"]
    kept = {name: section for name, section in found[0].as_dict().items() if name != "alerts"}
    settings = json.dumps(kept, sort_keys=True)
    assert {cfg.digest() for cfg in found} == {hashlib.sha256(settings.encode()).hexdigest()}
    assert found[0].digest() != Config().digest()  # every key counts


def test_the_readme_names_every_cell_loss_and_baseline() -> None:
    spelt = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "mingru": "minGRU", "top1_max": "TOP1-max"}
    spelt |= {"cross_entropy": "cross-entropy", "full_cross_entropy": "cross-entropy", "bpr_max": "BPR-max"}
    spelt |= {"gbce": "gBCE", "sasrec": "SASRec", "bert4rec": "BERT4Rec"}
    spelt |= {"sequential_rules": "sequential rules", "vsknn": "VS-kNN", "markov": "Markov"}
    spelt |= {
        "als": "matrix factorization",
        "fpmc": "FPMC",
        "session_popularity": "popularity",
        "recent_popularity": "popularity",
        "popularity": "popularity",
        "recurrent": "RNN",
    }
    (sentence,) = re.findall(r"`rnnrec_model`: (RNN, .*?) beside them", FLAT["readme"])
    for name in (*CELLS, *LOSSES, *MODELS):
        assert spelt.get(name, name.upper()) in sentence, name


def test_the_model_library_imports_what_the_documents_say() -> None:
    assert "torch, numpy, pyarrow, safetensors" in FLAT["readme"]
    assert "torch, numpy, pyarrow, safetensors" in FLAT["architecture"]
    assert "`implicit`, and scipy" in FLAT["library"]
    outside_als = imported(*(path for path in (ROOT / "rnnrec_model").rglob("*.py") if path != ALS))
    assert outside_als == {"torch", "numpy", "pyarrow", "safetensors"}
    assert imported(ALS) - outside_als == {
        "implicit",
        "scipy",
        "threadpoolctl",
    }  # the extra, which brings them


def imported(*files: Path) -> set[str]:
    """Packages of others that modules import, anywhere in them."""
    names: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    ours = {"flows", "tasks", "rnnrec_model"}
    return names - ours - set(sys.stdlib_module_names)


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_a_page_names_exist(page: str) -> None:
    sections = Config().as_dict()
    for name, key in re.findall(rf"`({'|'.join(sections)})\.([a-z_.]+)(?:=[^`]*)?`", PAGES[page]):
        if key == "py":
            continue  # a module, as in `training.py`
        values: Any = sections[name]
        for part in key.split("."):
            assert part in values, f"{name}.{key}"
            values = values[part]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_and_links_to_exist(page: str) -> None:
    base = ROOT if (ROOT / f"{page.upper()}.md").exists() else ROOT / "docs"
    named = re.findall(r"`((?:flows|tasks|rnnrec_model|tests|docs|benchmarks)/[\w/*]+\.\w+)`", PAGES[page])
    assert [path for path in named if not list(ROOT.glob(path))] == []
    linked = re.findall(r"\]\(([\w./-]+)\)", PAGES[page])
    there = [base / path for path in linked if not path.startswith("http")]
    assert [path for path in there if not path.exists() and not path.with_suffix(".md").exists()] == []


def test_targets_of_make_that_a_page_names_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {
        name
        for text in PAGES.values()
        for name in re.findall(r"(?:^    |`|&& )make (\w+)", text, flags=re.MULTILINE)
    }
    assert {"demo", "test", "venv", "slow", "lint", "server"} <= named
    assert named - targets == set()


def test_the_night_is_drawn_with_its_stages_in_their_order() -> None:
    module = ast.parse((ROOT / "flows" / "nightly.py").read_text(encoding="utf-8"))
    (flow,) = [one for one in module.body if isinstance(one, ast.FunctionDef) and one.name == "_stages"]
    calls = [
        node.func.attr
        for node in ast.walk(flow)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "stages"
    ]
    order = sorted(set(calls), key=lambda name: ast.unparse(flow).index(f"stages.{name}("))
    drawn = PAGES["architecture"].partition("## The night, as data travels")[2].partition("Stages hand on")[0]
    words = [{"score": "recommend"}.get(name, name) for name in order]
    places = [drawn.find(word) for word in words]
    assert places == sorted(places)
    assert -1 not in places


def test_pins_that_the_documents_explain_are_explained_in_the_project_file() -> None:
    assert "which bounds are there for a reason (fastapi, sqlalchemy)" in FLAT["runbook"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in ("fastapi", "sqlalchemy"):
        assert re.search(rf'"{name}[^"]*<[^"]*", +# \w', project), name
    assert f"prefect=={PREFECT['prefect-version']}" in PINS


def test_a_query_s_header_says_meaning_grain_what_it_reads_and_its_parameters() -> None:
    for path in SQL:
        text = path.read_text(encoding="utf-8")
        header = "".join(re.findall(r"\A(?:--.*\n)+", text))
        body = text.removeprefix(header)
        assert re.match(r"-- \S", header), path.name
        assert re.search(r"^-- (grain|check|guards against)", header, flags=re.MULTILINE), path.name
        assert "-- reads:" in header, path.name
        for name in set(re.findall(r"\$([a-z_]\w*)", body)):
            assert f"${name}" in header, (path.name, name)
        assert len(re.findall(r";\s*$", body, flags=re.MULTILINE)) <= 1, path.name


def test_reasons_of_refused_lines_that_the_documents_name_are_those_of_the_queries() -> None:
    (cell,) = re.findall(r"\| reason \| varchar \| such as (.*) \|", PAGES["data"])
    queries = "".join(path.read_text(encoding="utf-8") for path in SQL)
    for reason in re.findall(r"`([^`]+)`", cell):
        assert f"'{reason}'" in queries
    assert "the line, cut to 1,000 characters" in FLAT["data"]
    assert "left(raw, 1000)" in queries


def test_the_audits_that_the_documents_name_exist() -> None:
    named = set(re.findall(r"audit `(\w+)`", FLAT["runbook"]))
    assert named
    assert [
        name for name in named if not (ROOT / "tasks" / "publishing" / "sql" / f"audit_{name}.sql").exists()
    ] == []


def test_the_tags_and_artifacts_that_the_runbook_names_are_those_of_the_code() -> None:
    code = "".join(
        (ROOT / path).read_text(encoding="utf-8")
        for path in ("tasks/stages/stages.py", "flows/runs/outcomes.py")
    )
    for name in ("nightly-report", "nightly-verdict", "model-version:"):
        assert f"`{name}" in FLAT["runbook"]
        assert f'"{name}' in code, name


def test_each_deployment_has_one_slot_in_which_a_second_run_waits() -> None:
    assert "Each has one slot: a second run waits for the first." in FLAT["runbook"]
    limits = [one["concurrency_limit"] for one in PREFECT["deployments"]]
    assert limits == [{"limit": 1, "collision_strategy": "ENQUEUE"}] * len(limits)


def test_variables_of_the_environment_that_a_page_names_are_read_by_the_code_or_by_what_it_stands_on() -> (
    None
):
    named = {name for text in PAGES.values() for name in re.findall(r"\bRNNREC_[A-Z_]+\b", text)}
    assert {"RNNREC_HOME", "RNNREC_LOG_FORMAT"} <= named
    folders = ("flows", "tasks", "tests/tasks")
    sources = [ROOT / "prefect.yaml", *(path for one in folders for path in (ROOT / one).glob("**/*.py"))]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert [name for name in named if name not in code] == []


def test_no_setting_is_read_from_the_environment() -> None:
    assert "No setting is read from the environment;" in FLAT["configuration"]
    for path in ("tasks/settings/config.py", "rnnrec_model/config.py"):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "os.environ" not in text
        assert "getenv" not in text


def test_states_of_a_publication_are_all_named() -> None:
    section = PAGES["data"].partition("### publications")[2].partition("\n## ")[0]
    (cell,) = re.findall(r"\| state \| varchar \| (.*) \|", section)
    assert set(get_args(publications.State)) <= set(re.findall(r"`(\w+)`", cell))


def test_a_published_night_lies_where_the_data_page_says_with_the_digests_it_says(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, driver.FRIDAY, users=2)
    readers.refresh(cfg, Store.of(cfg))
    drawn = re.findall(
        r"^    ([\w.]+)(/?)\S*  +\S", PAGES["data"].partition("## Words")[0], flags=re.MULTILINE
    )
    folders = {name for name, slash in drawn if slash or "." in name}
    assert {path.name for path in cfg.root.iterdir()} <= folders
    row = publications.read(Store.of(cfg)).rows[0].as_row()
    pins = json.loads(row["tables"])
    assert set(pins) == set(tables.OUTPUTS)
    assert all(set(one) == {"version", "rows", "digest", "files"} for one in pins.values())
    for one in pins.values():
        assert (
            one["digest"]
            == hashlib.sha256(b"".join((cfg.root / f).read_bytes() for f in one["files"])).hexdigest()
        )
    said = re.findall(r"\| (reads|model) \| varchar \| JSON: (.*) \|", PAGES["data"])
    assert [name for name, _ in said] == ["reads", "model"]
    for name, cell in said:
        for key in json.loads(row[name]):
            assert f"`{key}`" in cell, (name, key)
    lines = "".join(f"{name} {pins[name]['digest']}\n" for name in sorted(pins))
    assert row["content_digest"] == hashlib.sha256(lines.encode()).hexdigest()
