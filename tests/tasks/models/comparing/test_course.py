"""A comparison from its question to its folder, on a shop whose best model is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import ConfigurationError, ModelFailure, WarehouseError
from tasks.models import judging, noise, recipes
from tasks.models.comparing import course, estimates, folder, jobs, page, parts, results
from tasks.models.comparing.conclusion import Compared, concluded
from tasks.models.comparing.course import Plan, Question
from tasks.models.comparing.parts import Part
from tasks.models.comparing.tuning import Budget
from tasks.settings.config import Config
from tasks.store.pins import Days, Pin, Reads
from tasks.store.store import Store

Planned, Whole = Callable[..., Plan], Callable[..., Compared]


def without_costs(found: Compared) -> str:
    values = json.loads((found.folder / "result.json").read_text())
    del values["sentence"]
    for one in values["models"].values():
        del one["cost"]
    return json.dumps(values)


def test_the_best_model_is_found_and_the_sentence_says_so(made: Compared) -> None:
    models = made.found["models"]
    best = {name for name, one in models.items() if one["metrics"]["recall_at_1"]["can_be_best"]}
    assert "markov" in best
    assert "popularity" not in best
    assert models["markov"]["metrics"]["recall_at_1"]["value"] > 0.7  # what follows comes four times of five
    assert models["popularity"]["metrics"]["recall_at_1"]["value"] < 0.1
    assert made.found["sentence"].startswith("On these 6 days the Markov chain is the best") or (
        made.found["sentence"].startswith("On these 6 days the Markov chain finds")
    )


def test_the_intervals_of_all_pairs_are_kept_and_tell_who_can_be_the_best(made: Compared) -> None:
    names = list(made.found["models"])
    for metric, kept in made.found["between"].items():
        assert [(one["ours"], one["theirs"]) for one in kept] == list(combinations(names, 2))
        behind = {one["theirs"] for one in kept if one["low"] > 0}
        behind |= {one["ours"] for one in kept if one["high"] < 0}
        for name, model in made.found["models"].items():
            assert model["metrics"][metric]["can_be_best"] == (name not in behind)
    assert set(made.found["between"]) == set(made.found["models"]["markov"]["metrics"])


def test_an_interval_against_the_best_is_what_a_slow_bootstrap_finds(made: Compared) -> None:
    rows = pq.read_table(made.folder / "ranks.parquet").to_pandas()
    hits = {name: (rows[f"rank_{name}"] == 1).to_numpy(float) for name in ("markov", "popularity")}
    generator, differences = np.random.default_rng(5), []
    users = sorted(set(rows["user_id"]))
    of_user = {user: np.flatnonzero(rows["user_id"] == user) for user in users}
    for _ in range(2000):
        who = np.concatenate([of_user[users[n]] for n in generator.integers(0, len(users), len(users))])
        differences.append(hits["popularity"][who].mean() - hits["markov"][who].mean())
    one = made.found["models"]["popularity"]["metrics"]["recall_at_1"]
    assert one["difference"] == pytest.approx(hits["popularity"].mean() - hits["markov"].mean())
    assert [one["low"], one["high"]] == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.02)


def test_of_fewer_users_than_intervals_need_the_sentence_and_the_page_say_so(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    few = Part(final.rows, judging.next_items(final.rows, final.rows[:30]))  # 15 users
    found = compared(planned(models=("markov", "popularity")), few)
    assert "too few users were asked to tell 2 models apart" in found.found["sentence"]
    assert "take" not in found.found["sentence"]
    assert "Too few users were asked for intervals" in (found.folder / "report.md").read_text()
    assert len(here) == 2


def test_what_a_seed_moves_is_as_measured_of_the_recipe_or_as_assumed_and_nothing_without_one(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    plan = planned(models=("markov", "recurrent"))
    found = compared(plan, final).found["models"]
    value = found["recurrent"]["metrics"]["recall_at_1"]["value"]
    assert found["recurrent"]["metrics"]["recall_at_1"]["seed"] == {
        "floor": 0.02 * value, "measured": False, "fits": 1,
    }  # fmt: skip
    assert found["markov"]["metrics"]["recall_at_1"]["seed"] == {
        "floor": 0.0, "measured": False, "fits": 1,
    }  # fmt: skip
    known = replace(plan, noise={"recurrent": {"recall_at_1": 1.5}}, target=plan.target.with_name("known"))
    found = compared(known, final).found["models"]
    assert found["recurrent"]["metrics"]["recall_at_1"]["seed"] == {
        "floor": 1.5, "measured": True, "fits": 1,
    }  # fmt: skip
    assert all(one["metrics"]["recall_at_1"]["can_be_best"] for one in found.values())
    assert len(here) == 4


def test_what_was_measured_of_a_recipe_says_nothing_of_what_tuning_made_of_it(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    valid = Part(final.rows[:150], judging.next_items(final.rows[:150], final.rows[150:]))
    plan = planned(models=("recurrent",), budget=Budget(2))
    known = replace(plan, noise={"recurrent": {"recall_at_1": 1.5}})
    done, kept = here[:], jobs.here

    def chooses(job: jobs.Job, say: jobs.Say = jobs.quiet) -> None:
        kept(job, say)
        if job.what == "tune":
            numbers = json.loads((job.folder / jobs.NUMBERS).read_text())
            (job.folder / jobs.NUMBERS).write_text(json.dumps(numbers | {"best": {"training.bptt_steps": 3}}))

    assert not done
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "apart", chooses)
        one = compared(known, final, valid).found["models"]["recurrent"]["metrics"]["recall_at_1"]
    assert one["seed"] == {"floor": 0.02 * one["value"], "measured": False, "fits": 1}


def test_what_a_seed_moves_decides_what_comes_out_and_so_is_another_comparison(planned: Planned) -> None:
    one = planned()
    given = (one.cfg, one.question, one.about, {"of": "walks"}, "toy")
    assert course.plan(*given).digest == one.digest
    assert course.plan(*given, floors={"markov": {"recall_at_1": 0.1}}).digest != one.digest


def test_the_mean_of_eight_fits_moves_half_as_far_as_that_of_two() -> None:
    assert [results.Seed(1.0, True, fits).of_mean for fits in (1, 2, 8)] == pytest.approx(
        [0.5**0.5, 0.5, 0.25]
    )


def test_of_several_fits_the_mean_is_compared_and_their_spread_is_what_seeds_move(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    plan = planned(models=("markov", "recurrent"), seeds=3, curves=("users",), shares=(0.5,))
    made = compared(plan, final)
    assert [job.recipe.name for job in here] == ["markov", *["recurrent"] * 3, "markov", "recurrent"]
    seeds = [job.recipe.training.seed for job in here[1:4] if job.recipe.training]
    assert seeds == [1, 2, 3]
    one = made.found["models"]["recurrent"]
    values = [fit["metrics"]["recall_at_1"] for fit in one["fits"]]
    told = one["metrics"]["recall_at_1"]
    assert len(set(values)) > 1
    assert told["value"] == pytest.approx(np.mean(values)) == one["every_metric"]["recall_at_1"]
    floor = 4.303 * 2**0.5 * np.std(values, ddof=1)  # Student's t with two degrees of freedom
    assert told["seed"] == {"floor": pytest.approx(floor), "measured": True, "fits": 3}
    rows = pq.read_table(made.folder / "ranks.parquet")
    hits = np.mean([rows[f"rank_{name}"].to_numpy() == 1 for name in of_fits("recurrent", seeds)], axis=0)
    markov = rows["rank_markov"].to_numpy() == 1
    assert told["difference"] == pytest.approx(float(np.mean(hits - markov)))
    assert told["low"] < told["difference"] < told["high"]
    assert len(made.found["models"]["markov"]["fits"]) == 1
    points = {(one["model"], one["share"]): one["value"] for one in made.found["curves"]["users"]}
    assert points["recurrent", 1.0] == told["value"] != values[0]
    text = (made.folder / "report.md").read_text()
    assert "| recurrent | 2 |" in text
    assert "3 fits of each that has a seed; means are told." in text
    assert "those of each model's first fit" in text
    assert "All others have no seed" in text


def test_where_no_model_has_a_seed_several_fits_are_one(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    made = compared(planned(models=("markov", "popularity"), seeds=3), final)
    assert len(here) == 2
    text = (made.folder / "report.md").read_text()
    assert "## Each fit\n\nThese models have no seed" in text


def of_fits(name: str, seeds: list[int]) -> list[str]:
    return [name, *(f"{name}_seed_{seed}" for seed in seeds[1:])]


def test_the_ranks_of_every_model_are_kept_place_by_place(made: Compared, final: Part) -> None:
    rows = pq.read_table(made.folder / "ranks.parquet")
    assert rows.column_names[:5] == ["prediction", "session", "step", "user_id", "target"]
    assert rows.column_names[5:] == ["rank_popularity", "rank_markov", "rank_vsknn"]
    assert len(rows) == len(final.frame) == made.found["about"]["predictions"]
    assert rows["target"].to_pylist() == final.frame.vocabulary.decode(final.frame.targets).to_pylist()


def test_equal_inputs_and_settings_give_equal_results_but_for_what_they_cost(
    planned: Planned, final: Part, made: Compared, compared: Whole, here: list[jobs.Job]
) -> None:
    again = compared(planned(), final)
    assert len(here) == 3
    assert without_costs(again) == without_costs(made)
    assert (again.folder / "ranks.parquet").read_bytes() == (made.folder / "ranks.parquet").read_bytes()


def test_the_folder_holds_what_a_reader_opens_and_nothing_else(made: Compared) -> None:
    names = sorted(path.name for path in made.folder.iterdir())
    assert names == ["quality_over_cost.svg", "ranks.parquet", "report.md", "result.json"]
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name]
    assert re.fullmatch(r"toy-[0-9a-f]{12}", made.folder.name)


def test_a_stopped_comparison_goes_on_with_what_was_not_done(
    planned: Planned, final: Part, here: list[jobs.Job], monkeypatch: pytest.MonkeyPatch, compared: Whole
) -> None:
    plan, do = planned(), jobs.apart

    def dies(job: jobs.Job, say: jobs.Say) -> None:
        if job.recipe.name == "vsknn":
            raise KeyboardInterrupt
        do(job, say)

    monkeypatch.setattr(jobs, "apart", dies)
    with pytest.raises(KeyboardInterrupt):
        compared(plan, final)
    assert not plan.target.exists()
    monkeypatch.setattr(jobs, "apart", do)
    found = compared(plan, final)
    assert [job.recipe.name for job in here] == ["popularity", "markov", "vsknn"]
    assert list(found.found["models"]) == ["popularity", "markov", "vsknn"]


def test_a_damaged_file_of_a_stopped_comparison_is_made_anew_and_of_one_that_is_done_is_named(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    plan = planned()
    with course.opened(plan):
        for name in plan.recipes:
            course.measure(course.supplied(plan, final, None), name)
        job = plan.fits("markov")[0]
        (job.folder / jobs.NUMBERS).write_bytes(bytes(100))
        assert not job.is_done
        for damaged in (b"", bytes(100), (plan.fits("vsknn")[0].folder / jobs.RANKS).read_bytes()[:-1]):
            (plan.fits("vsknn")[0].folder / jobs.RANKS).write_bytes(damaged)
            assert not plan.fits("vsknn")[0].is_done
    made = compared(plan, final)
    assert [job.recipe.name for job in here] == ["popularity", "markov", "vsknn", "markov", "vsknn"]
    file = made.folder / "result.json"
    file.write_text(file.read_text()[:-100])
    with pytest.raises(
        WarehouseError, match=r"result\.json: expected the result of a comparison.*take the folder"
    ):
        concluded(plan)


def test_another_question_of_the_same_name_finds_nothing_of_the_first(
    planned: Planned, final: Part, here: list[jobs.Job]
) -> None:
    one, other = planned(), planned(metric="mrr_at_5")
    target = one.target
    with course.opened(one):
        course.measure(course.supplied(one, final, None), "markov")
    moved = Plan(other.cfg, other.question, target, other.recipes, other.about, other.digest)
    with course.opened(moved):
        course.measure(course.supplied(moved, final, None), "markov")
    assert len(here) == 2


def test_two_runs_of_one_comparison_do_not_work_in_it_at_once(planned: Planned) -> None:
    with (
        course.opened(planned()),
        pytest.raises(WarehouseError, match="another run"),
        course.opened(planned()),
    ):
        pass


def test_tuning_chooses_inside_and_the_final_models_are_measured_with_it(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    valid = Part(final.rows[:150], judging.next_items(final.rows[:150], final.rows[150:]))
    found = compared(planned(models=("markov", "vsknn"), budget=Budget(3)), final, valid)
    assert [(job.what, job.part.name) for job in here] == [
        ("measure", "final.part"),
        ("tune", "valid.part"),
        ("measure", "final.part"),
    ]
    knn = found.found["models"]["vsknn"]
    values = [trial["value"] for trial in knn["trials"]]
    assert len(values) == 3
    assert knn["chosen"] == knn["trials"][values.index(max(values))]["changes"]
    assert {**knn["recipe"]["settings"], **knn["chosen"]} == knn["recipe"]["settings"]
    text = (found.folder / "report.md").read_text()
    assert "untuned: nothing to tune" in text
    assert "3 trials of 80 possible" in text  # 5 neighbours, 4 samples, 4 weights


def test_where_one_day_is_all_there_is_nothing_is_tuned_and_the_page_says_why(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    found = compared(planned(models=("markov", "vsknn"), budget=Budget(3)), final, None)
    assert [job.what for job in here] == ["measure", "measure"]
    text = (found.folder / "report.md").read_text()
    assert "Untuned: tuning was asked for, but only one day" in text
    assert "3 trials" not in text
    assert "nothing to tune" not in text


def test_less_data_is_asked_the_same_and_all_of_it_is_not_fitted_twice(
    planned: Planned, final: Part, here: list[jobs.Job], compared: Whole
) -> None:
    found = compared(
        planned(models=("markov", "popularity"), curves=("users", "history"), shares=(0.2, 1.0)), final
    )
    assert [job.sample for job in here] == [None, None, *[("users", 0.2)] * 2, *[("history", 0.2)] * 2]
    markov = [one for one in found.found["curves"]["users"] if one["model"] == "markov"]
    assert [one["share"] for one in markov] == [0.2, 1.0]
    assert markov[0]["value"] < markov[1]["value"]
    assert markov[1]["value"] == found.found["models"]["markov"]["metrics"]["recall_at_1"]["value"]
    assert (found.folder / "quality_over_history.svg").exists()


def test_what_cannot_be_fitted_is_listed_with_its_reason(
    planned: Planned, final: Part, here: list[jobs.Job], monkeypatch: pytest.MonkeyPatch, compared: Whole
) -> None:
    def fails(job: jobs.Job, say: jobs.Say) -> None:
        if job.recipe.name == "vsknn":
            raise ModelFailure("fitting vsknn: expected times beside items; got none")
        jobs.here(job, say)

    monkeypatch.setattr(jobs, "apart", fails)
    found = compared(planned(), final)
    assert found.found["failures"] == {"vsknn": "fitting vsknn: expected times beside items; got none"}
    assert "- vsknn: fitting vsknn: expected times" in (found.folder / "report.md").read_text()
    with pytest.raises(ModelFailure, match="expected one model at least"):
        compared(planned(models=("vsknn",)), final)
    assert here == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"models": ("markof",)}, "markof"),
        ({"curves": ("days",)}, "--curve: expected some of users, history"),
        ({"shares": (0.1, 2.0)}, "--shares: expected percents above 0, 100 at most; got 200"),
        ({"metric": "recall"}, "--metric"),
        ({"seeds": 2}, "--seeds: expected 1, or 3 to 1000, .*got 2"),
        ({"seeds": 10**9}, "--seeds: expected 1, or 3 to 1000, .*got 1000000000"),
        ({"budget": Budget(0)}, "--trials"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(config: Config, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Question.of(config, **given)


def test_every_kind_and_every_named_model_is_asked_where_nobody_says_which(make_config: Any) -> None:
    cfg = make_config(models={"wide": {"kind": "recurrent", "units": 8}})
    question = Question.of(cfg)
    assert {"recurrent", "vsknn", "fpmc", "wide"} <= set(question.models)
    assert question.metric == "recall_at_20"
    assert not question.budget.tunes


def test_the_newest_noise_that_was_measured_of_a_recipe_as_it_is_goes_into_the_question(
    tmp_path: Path,
) -> None:
    cfg = Config(base=tmp_path)
    store, night = Store.of(cfg), date(2026, 3, 5)
    recipe = recipes.configured(cfg, "recurrent").digest
    for values in ({1: 0.5, 2: 0.6, 3: 0.7}, {1: 0.5, 2: 0.5, 3: 0.5}):
        noise.keep(store, [noise.summary(recipe, "recurrent", "recall_at_20", night, values)])
    noise.keep(
        store, [noise.summary("another", "recurrent", "recall_at_20", night, {1: 0.1, 2: 0.5, 3: 0.9})]
    )
    reads = Reads(Days(store, "events", {}), Days(store, "sessions", {}))
    plan = course.plan_of_night(cfg, night, reads, Question.of(cfg, models=("recurrent", "markov")))
    assert plan.noise == {"recurrent": {"recall_at_20": 0.0}}


def test_days_are_counted_that_have_sessions(tmp_path: Path) -> None:
    rows = {1: 0, 2: 7, 3: 0, 4: 9, 5: 4}
    held = {date(2026, 3, day): Pin(0, count, "", ()) for day, count in rows.items()}
    store = Store.of(Config(base=tmp_path))
    reads = Reads(Days(store, "events", {}), Days(store, "sessions", held))
    assert course.days_learnt(reads, date(2026, 3, 5)) == 2


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"minutes": 9.0}])
def test_another_device_or_another_stop_is_another_comparison(
    planned: Planned, tmp_path: Path, change: dict[str, Any]
) -> None:
    question = planned().question
    digests = [
        course.plan(Config(training=training, base=tmp_path), question, {}, {}, "toy").digest
        for training in ({}, {}, change)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_other_code_that_compares_is_another_comparison(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned().digest
    monkeypatch.setattr(course, "__file__", str(Path(course.__file__).parents[1] / "noise.py"))
    assert planned().digest != before


@pytest.mark.parametrize(("days", "asked"), [((1, 2, 3), [3]), ((1, 2), [2]), ((3,), None), ((0, 0, 1), [1])])
def test_tuning_asks_the_last_day_that_has_sessions(days: tuple[int, ...], asked: list[int] | None) -> None:
    """Night 2026-03-05: its days before are 1 to 4; yesterday has none."""
    times = [[datetime(2026, 3, 1 + day, 9), datetime(2026, 3, 1 + day, 10)] for day in days]
    rows = pa.table(
        {"items": [[day, 9] for day in days], "times": pa.array(times, pa.list_(pa.timestamp("us")))}
    )
    halves = parts.inside(Config(sessions={"window_days": 5}), date(2026, 3, 5), rows)
    assert (halves and [one[0] for one in halves[1]["items"].to_pylist()]) == asked
    assert halves is None or len(halves[0]) == len(days) - 1


def test_a_night_costs_two_fits_and_its_lists_and_a_gpu_is_billed_by_the_clock() -> None:
    cost = {
        "training_seconds": 5.0, "training_processor_seconds": 8.0, "scoring_seconds": 90.0,
        "scoring_processor_seconds": 99.0, "listing_seconds": 1.0, "listing_processor_seconds": 2.0,
    }  # fmt: skip
    assert results.seconds({**cost, "on_gpu": False}) == 18.0
    assert results.seconds({**cost, "on_gpu": True}) == 11.0


def test_a_crossing_is_told_as_drawn_and_nothing_is_called_sure() -> None:
    points = [
        {"model": name, "share": share, "value": value, "low": 0.01, "high": 0.02}
        for name, share, value in [("vsknn", 0.1, 0.3), ("recurrent", 0.1, 0.2), ("vsknn", 1.0, 0.4),
                                   ("recurrent", 1.0, 0.5)]
    ]  # fmt: skip
    (line,) = page.crossings(points)
    assert line == "VS-kNN is ahead of The recurrent network at 10 %, behind from 100 % on."


def test_a_folder_that_is_worked_on_is_hidden_beside_its_target(planned: Planned) -> None:
    plan = planned()
    assert folder.part_of(plan.target).name == f".{plan.target.name}.part"


def test_what_is_left_is_told_step_by_step_and_done_steps_are_not(
    planned: Planned, final: Part, here: list[jobs.Job]
) -> None:
    plan = planned(models=("markov", "vsknn"), budget=Budget(4), curves=("users",), shares=(0.5, 1.0))
    with course.opened(plan):
        ready = course.supplied(plan, final, final)
        each = estimates.one_fit(ready, final)
        assert min(each.values()) >= 0
        trials = estimates.trials(ready, final)
        every = [what for what, _ in estimates.steps(ready, each, trials)]
        course.measure(ready, "vsknn")
        left = [what for what, _ in estimates.steps(ready, each, trials)]
    assert every == [
        "measuring markov",
        "tuning vsknn",
        "measuring vsknn",
        "markov on 50 % of the users",
        "vsknn on 50 % of the users",
    ]
    assert left == [every[0], *every[3:]]
    assert len(here) == 2
