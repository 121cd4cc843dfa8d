"""`rnnrec why`: a night's verdict in 80 columns, rule by rule, and what is said where there is none."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import night_driver as driver
import numpy as np
import pyarrow as pa
import pytest
from vacuumed_nights import without_registry

from flows.cli import main
from rnnrec_model.config import NoSettings
from rnnrec_model.models import MODELS
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.errors import EmptyNightError, SourceError
from tasks.models import choosing, noise, recipes
from tasks.publishing import attempts, carrying, vacuum
from tasks.settings.config import Config, load_config
from tasks.store import delta
from tasks.store.store import Store

SUNDAY = date(2026, 1, 4)


def rule(question: int, name: str, ours: str, against: str, **numbers: Any) -> dict[str, Any]:
    told = {"metric": "mrr_at_20", "slice": "all", "value": 0.12, "low": None, "high": None}
    return {"question": question, "rule": name, "ours": ours, "against": against, **told, **numbers}


VERDICT: dict[str, Any] = {
    "state": "fresh",
    "chosen": "fresh",
    "reason": "mrr_at_20 0.1203 against the published weights' 0.1188; vsknn is worse than fresh training on "
    "new users",
    "metrics": {
        "published": {"recall_at_20": 0.31, "mrr_at_20": 0.1188, "answered": 0.98},
        "fresh": {"recall_at_20": 0.32, "mrr_at_20": 0.1203, "answered": 0.99},
        "vsknn": {"recall_at_20": 0.33, "mrr_at_20": 0.1211, "answered": 0.99},
    },
    "by_target": {
        "new targets": {
            "predictions": 4000,
            "metrics": {
                "published": {"mrr_at_20": 0.0712},
                "fresh": {"mrr_at_20": 0.0731},
                "vsknn": {"mrr_at_20": 0.0702},
            },
        },
        "repeated targets": {
            "predictions": 1432,
            "metrics": {"published": {"mrr_at_20": 0.2518}, "fresh": {"mrr_at_20": 0.2521}},
        },
    },
    "predictions": 5432,
    "sessions": 1234,
    "rules": [
        rule(1, "healthy", "fresh", "published",
             difference=0.0015, low=-0.0004, high=0.0034, allowed=-0.0036, passed=True),
        rule(1, "must_beat", "fresh", "markov",
             difference=0.0315, low=0.027, high=0.036, allowed=0.0, passed=True),
        rule(2, "better", "vsknn", "fresh", predictions=4074,
             difference=0.0005, low=-0.0014, high=0.0025, allowed=0.0012, passed=False),
        rule(2, "slice", "vsknn", "fresh", slice="new users", difference=-0.01, allowed=-0.006, passed=True),
        rule(2, "guard", "vsknn", "fresh",
             metric="coverage_at_20", difference=0.05, allowed=-0.1, passed=True),
        rule(2, "guard", "vsknn", "fresh",
             metric="popularity_at_20", difference=1234.5, allowed=900.0, passed=False),
    ],
    "champion": 3,
    "recipes": {},
    "kinds": {"published": "recurrent", "fresh": "recurrent", "vsknn": "vsknn"},
    "names": {"published": "wide", "fresh": "wide", "vsknn": "vsknn"},
    "noise": None,
    "failures": {"lstm": "the loss became NaN in epoch 2"},
}  # fmt: skip


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    (tmp_path / "rnnrec.toml").write_text("[warehouse]\nthreads = 1\nmemory_gb = 1.0\n")
    return load_config(tmp_path / "rnnrec.toml")


def said(cfg: Config, capsys: Any, *asked: str, wide: bool = False) -> list[str]:
    """What `rnnrec why` says, line by line, without empty ones, rulers and spaces before or behind."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["why", "--config", str(cfg.base / "rnnrec.toml"), *asked])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert wide or max(map(len, lines)) <= 80
    return words(lines)


def words(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines if line.strip() and "─" not in line]


def test_a_night_of_before_says_its_reason_and_that_no_rules_were_kept(cfg: Config, capsys: Any) -> None:
    old = {
        "crowned": True,
        "reason": "mrr_at_20 0.2 against the champion's 0.1",
        "metrics": {"challenger": {"mrr_at_20": 0.2}, "champion": {"mrr_at_20": 0.1}},
        "predictions": 8,
        "sessions": 4,
        "champion": 1,
    }
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=old)
    found = said(cfg, capsys, "--night", "2026-01-02")
    assert found[1] == "mrr_at_20 0.2 against the champion's 0.1."
    assert "mrr_at_20 0.2000 0.1000" in found
    assert (
        "It was judged before rules were kept: the reason and the values are all that is known."
        in " ".join(found)
    )


def test_it_says_which_runs_came_after_the_one_that_published(cfg: Config, capsys: Any) -> None:
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=VERDICT)
    fail(cfg, driver.FRIDAY)
    assert any("Run 2, begun" in line and "failed, exit code 4" in line for line in said(cfg, capsys))


def test_a_night_that_was_carried_forward_says_whose_tables_readers_see_and_why(
    cfg: Config, capsys: Any
) -> None:
    shown = driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=VERDICT).publication
    store, attempt = Store.of(cfg), delta.next_attempt(Store.of(cfg), driver.SATURDAY)
    empty = EmptyNightError("no usable event of this day; bring its logs")
    carrying.carry_forward(
        store, carrying.Failed(driver.SATURDAY, attempt, "run", shown.started_at, {}, empty)
    )
    found = said(cfg, capsys)
    assert "report.md" not in " ".join(found)  # it is the page of the night whose tables are shown
    assert found[:3] == [
        "Night 2026-01-03: carried forward, model version 1, publication 2",
        "Readers see the tables of 2026-01-02, because this night could make none:",
        "no usable event of this day; bring its logs.",
    ]


def test_a_night_that_a_vacuum_gave_up_says_so_and_keeps_its_verdict(
    cfg: Config, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_registry(lambda *given: monkeypatch.setattr(*given))
    for night in (driver.FRIDAY, driver.SATURDAY):
        driver.publish_night(cfg, night, users=4, verdict=VERDICT)
    before = said(cfg, capsys, "--night", "2026-01-02")
    vacuum.vacuum(cfg, 1, timedelta())
    after = said(cfg, capsys, "--night", "2026-01-02")
    assert (after[0], after[3:]) == (before[0], before[1:])
    assert re.fullmatch(
        r"`rnnrec vacuum` gave it up at 20\d\d-\d\d-\d\d \d\d:\d\d UTC; of its lists and its model this is "
        "all that is left.",
        " ".join(after[1:3]),
    )


def test_a_night_without_a_publication_says_what_became_of_its_runs(cfg: Config, capsys: Any) -> None:
    fail(cfg, SUNDAY)
    found = " ".join(said(cfg, capsys, "--night", "2026-01-04"))
    assert found.startswith("Night 2026-01-04: nothing was published Run 1, begun 20")
    assert found.endswith("failed, exit code 4. no logs of this night; bring them")


def fail(cfg: Config, night: date) -> None:
    """A run of this night that found no logs."""
    with pytest.raises(SourceError), attempts.recorded(Store.of(cfg), night, "run"):
        raise SourceError("no logs of this night; bring them")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "expected a published night; nothing is published yet; `rnnrec nightly`"),
        (["--night", "2026-01-04"], "a night that was run; none is known"),
    ],
)
def test_a_night_of_which_nothing_is_known_is_refused(
    cfg: Config, capsys: Any, asked: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["why", "--config", str(cfg.base / "rnnrec.toml"), *asked])
    assert ended.value.code == 3
    assert message in " ".join(capsys.readouterr().err.split())


def test_it_says_every_rule_with_its_numbers_as_the_page_shows_it(cfg: Config, capsys: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "judging.md").read_text(encoding="utf-8")
    example = page.partition("```\n")[2].partition("```")[0]
    driver.publish_night(cfg, driver.SATURDAY, users=4, verdict=VERDICT)
    assert said(cfg, capsys) == words(example.splitlines())


def test_the_share_of_next_items_that_no_list_can_have_is_said_where_there_is_one(
    cfg: Config, capsys: Any
) -> None:
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=VERDICT | {"not_shown": 0.306})
    assert (
        "of 1,234 sessions; 30.6% of them are left out of lists by recommendations.exclude or [rules]: "
        "everybody's misses; ← makes the tables" in " ".join(said(cfg, capsys))
    )


def test_how_many_predictions_are_first_items_is_said_where_there_are_some(cfg: Config, capsys: Any) -> None:
    asked = VERDICT | {
        "first_items": 321,
        "by_target": {
            "first items": {"predictions": 321, "metrics": {"fresh": {"mrr_at_20": 0.021}}},
            **VERDICT["by_target"],
        },
    }
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=asked)
    told = " ".join(said(cfg, capsys))
    assert (
        "of 1,234 sessions; 321 are what a visit begins with, asked as the lists of the night before" in told
    )
    assert "first items (321)" in told


def test_what_both_lose_to_makes_no_night_unhealthy(cfg: Config, capsys: Any) -> None:
    lost = [
        rule(
            1, "must_beat", ours, "markov", difference=-0.03, low=-0.04, high=-0.02, allowed=0.0, passed=False
        )
        for ours in ("fresh", "published")
    ]
    driver.publish_night(
        cfg, driver.SATURDAY, users=4, verdict=VERDICT | {"rules": [VERDICT["rules"][0], *lost]}
    )
    found = said(cfg, capsys)
    assert "Is tonight's training healthy? yes" in found
    assert "not worse than markov -0.0300 -0.0400 -0.0200 high ≥ +0.0000 NO" in found
    assert "nor is published -0.0300 -0.0400 -0.0200 high ≥ +0.0000 NO" in found


REAL = {  # the defaults on real clicks, with more digits than anybody reads
    "mrr_at_20": 0.00931246, "recall_at_20": 0.024868124, "ndcg_at_20": 0.0127412,
    "coverage_at_20": 0.15491234, "popularity_at_20": 12_160.04821, "novelty_at_20": 6.421249,
    "gini_at_20": 0.9762123, "answered": 0.08372111,
}  # fmt: skip


def real_night(*contestants: str) -> dict[str, Any]:
    named = {one: "markov" if one in ("fresh", "published") else one for one in contestants}
    return VERDICT | {
        "metrics": dict.fromkeys(contestants, REAL),
        "recipes": named,
        "kinds": named,
        "names": named,
        "by_target": {},
        "failures": {},
    }


def test_eight_metrics_of_five_contestants_stand_whole_in_one_table(cfg: Config, capsys: Any) -> None:
    several = ("recurrent", "popularity", "fresh", "published", "vsknn")
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=real_night(*several))
    found = said(cfg, capsys)
    heads = found.index("fresh ← published")
    assert found[heads + 1 : heads + 10] == [
        "recurrent popularity (markov) (markov) vsknn",
        *(
            " ".join([name, *[number] * 5])
            for name, number in zip(
                REAL,
                ("0.009312", "0.02487", "0.01274", "0.1549", "12,160", "6.421", "0.9762", "0.08372"),
                strict=True,
            )
        ),
    ]
    assert not any("…" in line for line in found)


def test_contestants_that_no_line_has_room_for_stand_in_a_table_below(cfg: Config, capsys: Any) -> None:
    several = ("fresh", "published", *(f"recurrent_of_{units}_units" for units in (100, 200, 300)))
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=real_night(*several))
    found = said(cfg, capsys)
    assert "(markov) (markov) recurrent_of_100_units" in found
    assert "recurrent_of_200_units recurrent_of_300_units" in found
    assert found.count("gini_at_20 0.9762 0.9762 0.9762") == 1
    assert found.count("gini_at_20 0.9762 0.9762") == 1
    assert not any("…" in line for line in found)


def test_what_is_the_very_model_that_stands_there_as_fresh_has_no_column_of_its_own(
    cfg: Config, capsys: Any
) -> None:
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=real_night("fresh", "published", "markov"))
    assert "fresh ← published" in said(cfg, capsys)


@pytest.fixture
def champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the registry gives as the model that makes the tables: one that counts, saved in a folder."""
    vocabulary = Vocabulary(pa.array(["a", "b"]), np.array([1, 1]))
    fitted = MODELS["markov"].fit(NoSettings(), Sessions.of([[0, 1]]), vocabulary)
    save(fitted.scorer, tmp_path / "model")
    version: Any = None
    found = choosing.Registered("champion", version, tmp_path / "model")
    nights = {driver.FRIDAY: None, driver.SATURDAY: found}  # the night that meets it is the one after
    monkeypatch.setattr(choosing, "fetch_champion", lambda _, night, *__: nights[night])
    return tmp_path / "model"


def ask_noise(cfg: Config, capsys: Any, *asked: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["noise", "--config", str(cfg.base / "rnnrec.toml"), *asked])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_noise_fits_a_recipe_with_so_many_seeds_and_keeps_what_it_found(
    cfg: Config, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.configured(cfg, "recurrent")

    def measure(_: Config, night: date, __: Any, asked: Any, seeds: int, on_seed: Any) -> list[Any]:
        assert (night, asked, seeds) == (driver.FRIDAY, recipe, 3)
        values = {1: 0.10, 2: 0.12, 3: 0.14}
        for seed, value in values.items():
            on_seed(seed, {"mrr_at_20": value})
        return [noise.summary(recipe.digest, recipe.name, "mrr_at_20", night, values)]

    monkeypatch.setattr(noise, "measure", measure)
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=VERDICT)
    said = ask_noise(cfg, capsys, "--seeds", "3", "--model", "recurrent")
    assert f"recurrent, recipe {recipe.digest[:12]}: 3 fits, judged on night 2026-01-02" in said
    assert "seed 2: mrr_at_20 0.1200" in said
    assert "mean 0.1200, standard deviation 0.02000, floor 0.1217, 101.4% of the mean" in said
    floor = pytest.approx(4.303 * 2**0.5 * 0.02)
    assert noise.floor(Store.of(cfg), recipe.digest, "mrr_at_20") == floor
    told = json.loads(ask_noise(cfg, capsys, "--seeds", "3", "--model", "recurrent", "--json"))
    assert (told["kind"], told["recipe"], told["floor"]) == ("recurrent", recipe.digest, floor)
    assert told["measured"][0]["by_seed"] == {"1": 0.10, "2": 0.12, "3": 0.14}


def test_noise_of_a_champion_that_takes_no_seed_is_none_and_nothing_is_fitted(
    cfg: Config, champion: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.saved(cfg, "champion", champion)
    monkeypatch.setattr(noise, "measure", lambda *_: pytest.fail("it was fitted"))
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=VERDICT)
    assert ask_noise(cfg, capsys) == (
        f"champion (markov), recipe {recipe.digest[:12]}: no fit takes a seed Fitted again it is the same "
        "model: its floor is 0, and there is nothing to measure."
    )
    told = json.loads(ask_noise(cfg, capsys, "--dry-run", "--json"))
    assert (told["is_seeded"], told["floor"], told["measured"]) == (False, 0.0, [])


def test_a_verdict_is_told_to_a_program_as_it_was_kept(cfg: Config, capsys: Any) -> None:
    driver.publish_night(cfg, driver.FRIDAY, users=4, verdict=VERDICT)
    fail(cfg, driver.FRIDAY)
    told = json.loads(" ".join(said(cfg, capsys, "--json", wide=True)))
    assert (told["night"], told["state"], told["kind"]) == ("2026-01-02", "fresh", "recurrent")
    assert told["verdict"] == VERDICT
    assert [run["state"] for run in told["runs"]] == ["failed"]
    fail(cfg, SUNDAY)
    told = json.loads(" ".join(said(cfg, capsys, "--json", "--night", "2026-01-04", wide=True)))
    assert "verdict" not in told
    assert [run["exit_code"] for run in told["runs"]] == [4]


def test_noise_of_two_fits_is_refused_with_the_reason(cfg: Config, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["noise", "--config", str(cfg.base / "rnnrec.toml"), "--seeds", "2"])
    assert ended.value.code == 2
    assert "expected 3 or more; got 2. So few fits say next to nothing" in " ".join(
        capsys.readouterr().err.split()
    )


def test_noise_is_said_to_be_missing_only_where_a_champion_was_judged_without_it(
    cfg: Config, capsys: Any
) -> None:
    for day, judged in ((driver.FRIDAY, {"noise": 0.0}), (driver.SATURDAY, {"champion": None})):
        driver.publish_night(cfg, day, users=4, verdict=VERDICT | judged)
        assert not any("Noise" in line for line in said(cfg, capsys, "--night", str(day)))


def test_a_dry_run_of_noise_fits_nothing_and_says_what_is_known(cfg: Config, capsys: Any) -> None:
    said = ask_noise(cfg, capsys, "--dry-run", "--model", "recurrent", "--night", "2026-01-02")
    assert "recurrent, recipe" in said
    assert "Nothing was fitted. Its floor for mrr_at_20 as of now: not measured." in said
    assert not cfg.root.exists()
