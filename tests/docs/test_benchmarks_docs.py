"""benchmarks/README.md: a table says what its raw results say, and calls untuned what was not tuned."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
RESULTS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json"))
}
BASELINES = {
    "VS-kNN": "vsknn",
    "Markov": "markov",
    "first-order Markov": "markov",
    "sequential rules": "sequential_rules",
    "session popularity": "session_popularity",
    "popularity": "popularity",
    "implicit ALS": "als",
    "FPMC": "fpmc",
    "SASRec": "sasrec",
    "BERT4Rec": "bert4rec",
}
METRICS = {
    "Recall@20": "recall_at_20",
    "MRR@20": "mrr_at_20",
    "HR@10": "recall_at_10",
    "NDCG@10": "ndcg_at_10",
}
NOT_KEPT = "not kept"


def tables() -> list[list[dict[str, str]]]:
    """Every table of the page: a row is its column's head to its cell, without emphasis."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE):
        lines = [
            [cell.strip().replace("**", "") for cell in line[1:-1].split("|")] for line in block.splitlines()
        ]
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


def rows_with(*heads: str) -> list[dict[str, str]]:
    """Rows of the tables that have these columns and a raw result."""
    rows = [row for table in tables() for row in table if set(heads) <= row.keys()]
    assert rows
    return [row for row in rows if row.get("raw") != NOT_KEPT]


def number(cell: str) -> float:
    """The first number of a cell."""
    found = re.match(r"[\d,]*\.?\d+", cell)
    assert found, cell
    return float(found[0].replace(",", ""))


def said(value: float, digits: int) -> float:
    return pytest.approx(value, abs=0.50001 * 10**-digits)


def test_every_row_names_its_raw_result_or_says_that_none_was_kept() -> None:
    named: set[str] = set()
    for table in tables():
        for row in table:
            if "raw" in row:
                files = re.findall(r"`(\w+)`", row["raw"])
                assert files or row["raw"] == NOT_KEPT, row
                named |= set(files)
            else:
                assert "events an update" in row, row  # the text above these tables names their files
    named |= set(re.findall(r"`results/(\w+)\.json`", PAGE))
    assert named == set(RESULTS)


def test_accuracy_is_what_the_raw_results_say() -> None:
    checked = 0
    for table in tables():
        for row in table:
            label = next(iter(row.values()))
            files = re.findall(r"`(\w+)`", row.get("raw", ""))
            for head, metric in METRICS.items():
                if head not in row or not files or "models" not in RESULTS[files[0]]:
                    continue
                model = BASELINES.get(label.removesuffix(", untuned").partition(" (")[0], "gru")
                every = [RESULTS[file]["models"] for file in files]
                values = [one.get(model, one.get("recurrent"))["metrics"][metric] for one in every]
                assert number(row[head]) == said(fmean(values), 4), (label, head)
                spread = re.search(r"\((\S+) to (\S+)\)", row[head])
                if spread:
                    assert [float(one) for one in spread.groups()] == [
                        said(min(values), 4),
                        said(max(values), 4),
                    ]
                checked += 1
    assert checked > 40


def test_long_sequences_are_what_the_raw_results_say_by_either_way_of_hiding() -> None:
    heads = {"newest 200 hidden": "", "whole history hidden": "_hiding_all"}
    said_of = 0
    for row in rows_with(*heads):
        label = row["model, HR@10 / NDCG@10"].removesuffix(", untuned").partition(" (")[0]
        models = RESULTS[row["raw"].strip("`")]["models"]
        called = BASELINES.get(label.partition(",")[0], "recurrent" if "recurrent" in models else "gru")
        metrics = models[called]["metrics"]
        for head, suffix in heads.items():
            if "recall_at_10_hiding_all" not in metrics:  # of before both were told: the whole was hidden
                assert (row[head] == "not measured") == (suffix == ""), row
                suffix = ""
            if row[head] == "not measured":
                continue
            values = [metrics[f"{name}{suffix}"] for name in ("recall_at_10", "ndcg_at_10")]
            assert [float(one) for one in row[head].split(" / ")] == [said(one, 4) for one in values], row
            said_of += 1
    assert said_of >= 7


def test_two_models_of_the_same_predictions_differ_as_the_raw_results_say() -> None:
    rows = rows_with("difference", "95 % interval")
    assert rows
    for row in rows:
        told = {(one["metric"], one["their_seed"]): one for one in RESULTS[row["raw"].strip("`")]["beside"]}
        metric = told[_metric(next(iter(row.values()))), int(row["SASRec's seed"])]
        said_of = [row["difference"], *row["95 % interval"].split(" to ")]
        assert [float(one) for one in said_of] == [
            said(metric[key], 4) for key in ("difference", "low", "high")
        ]


def test_unseen_data_is_what_the_raw_results_say() -> None:
    rows = rows_with("GRU", "VS-kNN")
    metrics = [row[""] for row in rows]
    assert metrics == ["Recall@20", "MRR@20"] * (len(rows) // 2)
    for row in rows:
        models = RESULTS[row["raw"].strip("`")]["models"]
        for head, model in {
            "GRU": "gru",
            "VS-kNN": "vsknn",
            "Markov": "markov",
            "popularity": "popularity",
        }.items():
            assert number(row[head]) == said(models[model]["metrics"][METRICS[row[""]]], 4), row


def test_warm_starts_are_what_the_raw_results_say() -> None:
    raw = RESULTS["warm_start"]["results"]["models"]
    for row, one in zip(rows_with("tonight's model"), raw, strict=True):
        assert row["tonight's model"].removesuffix(", untuned") == one["model"]
        assert int(row["epochs"]) == one["epochs"]
        assert float(row["seconds"]) == one["seconds"]
        assert [float(row["Recall@20"]), float(row["MRR@20"])] == [one["recall_at_20"], one["mrr_at_20"]]


def test_warm_nights_are_what_the_raw_results_say() -> None:
    raw = RESULTS["warm_nights"]["results"]["over_all_nights"]
    for row, one in zip(rows_with("each night's model"), raw, strict=True):
        assert one["model"].startswith(row["each night's model"].removesuffix(", untuned"))
        assert [int(row["epochs"]), float(row["processor seconds"])] == [
            one["epochs"], one["processor_seconds"]
        ]  # fmt: skip
        for head, metric in (("Recall@20", "recall_at_20"), ("MRR@20", "mrr_at_20")):
            numbers = [float(text) for text in re.findall(r"[+-]?\.\d+", row[head])]
            assert numbers == [one[metric], *one.get(f"{metric}_interval", [])]


def test_defaults_before_and_now_are_what_the_raw_results_say() -> None:
    rows = rows_with("before: seconds", "now: seconds")
    for row in rows:
        data = re.findall(r"`(\w+)`", row["what"])[0]
        asked = "day_after_" if "the day after" in row["what"] else ""
        for called in ("before", "now"):
            found = [
                one
                for one in RESULTS[row["raw"].strip("`")]["results"]
                if (one["data"], one["settings"]) == (data, called)
            ]
            values = [fmean(one[f"{asked}{name}_at_20"] for one in found) for name in ("recall", "mrr")]
            assert [float(one) for one in row[called].split(" / ")] == [said(one, 4) for one in values], row
            assert number(row[f"{called}: seconds"]) == said(
                fmean(one["processor_seconds"] for one in found), 0
            )
            assert {number(row[head]) for head in ("events", "items")} == {
                found[0]["events"],
                found[0]["items"],
            }


def test_growth_is_what_the_raw_results_say() -> None:
    for row, one in zip(rows_with("recommending"), RESULTS["growth"]["results"], strict=True):
        assert [number(row[head]) for head in ("events", "sessions", "training", "events/s")] == [
            one["events"], one["sessions"], one["training_seconds"], one["events_per_second"]
        ]  # fmt: skip
        assert (
            row["recommending"]
            == f"{one['recommending_seconds']} s for {one['sessions_answered']:,} sessions"
        )
        assert number(row["memory of the process alone"]) == one["own_memory_mb"]


def test_history_is_what_the_raw_results_say() -> None:
    raw = {(one["nights"], one["what"]): one for one in RESULTS["history"]["results"]}
    for row in rows_with("published nights"):
        heal, read, refresh = (
            raw[number(row["published nights"]), what]
            for what in ("heal", "read publications", "refresh readers")
        )
        counts = [number(row[head]) for head in ("log entries it reads", "footers it reads")]
        assert counts == [heal["entries"], heal["footers"]]
        seconds = [
            float(row[head]) for head in ("healing", "reading publications again", "refreshing readers")
        ]
        assert seconds == [one["processor_seconds"] for one in (heal, read, refresh)]


def test_reading_is_what_the_raw_results_say() -> None:
    raw, names = RESULTS["ingest"]["results"], {"NDJSON": "ndjson", "Parquet": "parquet", "CSV": "csv"}
    for row in rows_with("of NDJSON"):
        name, *more = row["format"].split(", ")
        key = names[name] + "_quoted" * ("every field quoted" in more)
        key += "_one_at_a_time" * ("one record at a time" in more)
        said = [number(row["processor s"]), number(row["of NDJSON"])]
        assert said == [raw["processor_seconds"][key], raw["of_ndjson"][key]]


def test_ranking_is_what_the_raw_results_say() -> None:
    for row in rows_with("by best times"):
        one = RESULTS[row["raw"].strip("`")]["results"]
        assert number(row["share, by median times"]) == said(one["share_of_product"], 2)
        assert number(row["by best times"]) == said(one["share_of_product_best_times"], 2)


def test_a_nights_lists_are_what_the_raw_results_say() -> None:
    for row in rows_with("users", "share of the product"):
        one = RESULTS[row["raw"].strip("`")]["results"]
        assert [number(row["users"]), number(row["items"])] == [one["sizes"]["users"], one["sizes"]["items"]]
        assert number(row["share of the product"]) == said(one["share_of_product"], 2)
        assert number(row["peak memory"]) == said(one["peak_memory_bytes"] / 2**20, 0)
        stages = one["stages"] | {"seconds": one["seconds"], "product alone": one["product_seconds"]}
        for head in row.keys() & stages.keys():
            assert number(row[head]) == said(stages[head], 1)


def test_overhead_is_what_the_raw_results_say() -> None:
    for row in rows_with("overhead before", "overhead now"):
        raw = RESULTS[row["raw"].strip("`")]["results"]
        command = row["command"]
        assert number(row["left"]) == said(raw["share_left"][command], 2)
        for when in ("before", "now"):
            one = raw["best"][when][command]
            assert number(row[f"overhead {when}"]) == said(one["overhead"], 1)
            assert number(row[f"processor {when}"]) == said(one["cpu"], 1)


def test_speed_is_what_the_raw_results_say() -> None:
    counts = {shape(one): one for one in RESULTS["training_counts"]["results"]}
    raw = RESULTS["training"]["results"]
    rows = rows_with("batch events", "columns executed", "items")
    assert len(rows) == len(raw) // 2
    for row, plain, low in zip(rows, raw[::2], raw[1::2], strict=True):
        count = counts[shape(plain)]
        assert [number(row[head]) for head in ("units", "batch events", "negatives", "items")] == [
            *shape(plain)
        ]
        assert number(row["events an update"]) == said(count["events_per_update"], 0)
        assert number(row["columns by formula"]) == plain["negatives"] + plain["batch_events"]
        assert number(row["columns executed"]) == count["columns"]
        cells = list(row.values())[7:]
        for one, (speed, ratio, formula, executed) in ((plain, cells[:4]), (low, cells[4:8])):
            assert number(speed) == one["events_per_second"]
            assert number(ratio) == said(one["ratio_to_plain"], 2)
            assert number(formula) == said(one["model_flop_utilisation"], 2)
            assert number(executed) == said(share(one, count["columns"]), 2)


def shape(one: dict[str, Any]) -> tuple[int, int, int, int]:
    return one["units"], one["batch_events"], one["negatives"], one["items"]


def share(one: dict[str, Any], columns: int) -> float:
    """Of the float32 peak, with so many columns: a GRU's and the scores' products, three times each."""
    flops = 6 * (6 * one["units"] ** 2 + columns * one["units"])
    return float(one["events_per_second"] * flops / (one["float32_gflops"] * 1e9))


def test_what_was_not_tuned_is_called_that() -> None:
    """Every line of accuracy but the tuned ones, what was tuned on the way, and what has nothing to tune."""
    exempt = (
        "popularity",
        "session popularity",
        "first-order Markov",
        "the same, seed 1",
        "from nothing",
    )
    for table in tables():
        for row in table:
            label = next(iter(row.values()))
            if (
                not {"Recall@20", "HR@10", "valid"} & row.keys()
                or label in ("minGRU",)
                or label.startswith(exempt)
            ):
                continue
            assert "tuned" in label or "untuned" in next(iter(row)), label


def test_error_rates_are_what_the_raw_results_say() -> None:
    raw = RESULTS["verdicts"]["results"]["rates"]
    told = set()
    for row in rows_with("the judge", "planted"):
        share = 0.0 if row["planted"] == "equal" else float(row["planted"].removesuffix(" %")) / 100
        number = 0 if row["candidates"] in ("-", "Markov") else int(row["candidates"])
        counted = "changed" if row["the judge"] == "changes the recipe" else "healthy"
        truth = {
            "fresh": share if counted == "healthy" else 0.0,
            "candidates": [share, *[0.0] * (number - 1)] if number else [],
            "markov": share if row["candidates"] == "Markov" else None,
            "agree": "seeds" if row["candidates"] == "Markov" else row["agree as"],
            "floor": row["noise known"] == "yes",
        }
        if row["candidates"] == "-" and share == 0:  # drawn with a candidate that is as good
            truth["candidates"] = [0.0]
        rates = []
        for sessions in (1000, 3000, 10_000):
            cell = row[f"{sessions:,} sessions"]
            found = [one for one in raw if truth.items() <= one.items() and one["sessions"] == sessions]
            assert [cell] == ([_rate(one[counted], one["nights"]) for one in found] or ["-"]), row
            rates.append(cell.partition(" (")[0])
        told.add(tuple(rates))
    page = (ROOT / "docs" / "judging.md").read_text(encoding="utf-8")
    short = page.partition("| in truth |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(short) > 10
    assert {tuple(cell.strip() for cell in line.split("|")[2:5]) for line in short} <= told


def test_equals_change_at_most_at_the_stated_rate() -> None:
    results = RESULTS["verdicts"]["results"]
    equals = [one for one in results["rates"] if one["candidates"] and not any(one["candidates"])]
    assert len(equals) >= 8
    for one in equals:
        assert one["nights"] >= 200
        assert one["changed"] / one["nights"] <= results["stated"], one


def test_seasons_are_what_the_raw_results_say() -> None:
    for row, one in zip(rows_with("a season"), RESULTS["verdicts"]["results"]["seasons"], strict=True):
        months = (
            "a month" if one["decay"] == 0 else f"{one['nights']} nights, {one['decay']:.0%} lost in each"
        )
        assert row["a season"].replace(" %", "%") == months
        assert [row["candidates"], row["agree as"]] == [str(len(one["candidates"])), one["agree"]]
        assert row["noise known"] == ("yes" if one["floor"] else "no")
        assert row["changed at all"] == _rate(sum(map(bool, one["changes"])), one["seasons"])
        assert row["refused at all"] == _rate(sum(map(bool, one["refused"])), one["seasons"])
        assert float(row["changes"]) == said(fmean(one["changes"]), 2)
        for head, nights in (("half refused by", "first_refused"), ("half changed by", "first_change")):
            by = None if row[head] == "-" else int(row[head])
            half = one["seasons"] / 2
            reached = [
                sum(night is not None and night <= last for night in one[nights]) for last in range(31)
            ]
            assert by == next((last for last, count in enumerate(reached) if count >= half), None), row


def test_models_side_by_side_are_what_the_raw_results_say() -> None:
    called = BASELINES | {"GRU": "recurrent", "SASRec": "sasrec", "BERT4Rec": "bert4rec"}
    rows = rows_with("can be the best")
    for row in rows:
        found = RESULTS[row["raw"].strip("`")]["results"]
        one = found["models"][called[row["model"].partition(",")[0]]]
        k = found["metric"].rpartition("_")[2]
        for family, head in (("recall", "Recall"), ("mrr", "MRR"), ("ndcg", "NDCG")):
            metric = f"{family}_at_{k}"
            assert number(row[f"{head}@{k}"]) == said(one["metrics"][metric]["value"], 4), row
            assert (family in row["can be the best"].split()) == one["metrics"][metric]["can_be_best"]
        cost = one["cost"]
        seconds = cost["training_processor_seconds"] + cost["scoring_processor_seconds"]
        assert number(row["processor s"]) == said(seconds, 1)
        assert number(row["peak MiB"]) == said(cost["peak_memory_mb"], 0)
        low, _, high = row["against the best"].partition(" to ")
        if high:
            against = one["metrics"][found["metric"]]
            assert [float(low), float(high)] == [said(against["low"], 4), said(against["high"], 4)]
    assert len(rows) == sum(
        len(one["results"]["models"]) for name, one in RESULTS.items() if name.startswith("comparison_")
    )


def test_leads_at_once_are_what_the_raw_results_say() -> None:
    called = BASELINES | {"GRU": "recurrent", "SASRec": "sasrec", "BERT4Rec": "bert4rec"}
    for row in rows_with("ahead by, at once"):
        between = RESULTS[row["raw"].strip("`")]["results"]["between"]
        ours, theirs = (called[name] for name in row["ahead by, at once"].split(" - "))
        for head in ("Recall@20", "MRR@20", "NDCG@20"):
            kept = {(one["ours"], one["theirs"]): (one["low"], one["high"]) for one in between[_metric(head)]}
            kept |= {(b, a): (-high, -low) for (a, b), (low, high) in kept.items()}
            told = [float(one) for one in row[f"by {head}"].split(" to ")]
            assert told == [said(one, 4) for one in kept[ours, theirs]], row


def _metric(head: str) -> str:
    return head.lower().replace("@", "_at_")


def test_whoever_is_called_untuned_beside_others_had_no_settings_of_its_own() -> None:
    """A comparison whose kinds were given numbers by hand tells of these numbers."""
    for row in rows_with("can be the best"):
        command = RESULTS[row["raw"].strip("`")]["circumstances"]["command"]
        assert "untuned" not in row["model"] or "--set " not in command, row


def test_lines_over_the_share_of_the_data_are_what_the_raw_results_say() -> None:
    called = BASELINES | {"GRU": "recurrent", "SASRec": "sasrec"}
    for axis in ("users", "history"):
        for row in (row for table in tables() for row in table if f"share of {axis}" in row):
            points = RESULTS[row["raw"].strip("`")]["results"]["curves"][axis]
            own = {
                f"{100 * one['share']:g} %": one
                for one in points
                if one["model"] == called[row[f"share of {axis}"]]
            }
            assert {head for head in row if head.endswith("%")} == own.keys()
            assert all(number(row[head]) == said(one["value"], 4) for head, one in own.items())


def _rate(count: int, nights: int) -> str:
    """As the tables tell it, with the interval of Clopper and Pearson, found by halving."""
    low = 0.0 if count == 0 else _share(lambda p: _at_most(nights - count, nights, 1 - p) < 0.025)
    high = 1.0 if count == nights else _share(lambda p: _at_most(count, nights, p) > 0.025)
    return f"{100 * count / nights:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _at_most(count: int, nights: int, share: float) -> float:
    return sum(comb(nights, one) * share**one * (1 - share) ** (nights - one) for one in range(count + 1))


def _share(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return low


def test_nine_nights_are_what_the_raw_results_say() -> None:
    rows = rows_with("night", "state now")
    for when, name in (("before", "nights_before"), ("now", "nights")):
        for row, one in zip(rows, RESULTS[name]["results"], strict=True):
            state = one["state"].replace("champion", "weights_kept").replace("_", " ")
            assert (row["night"], row[f"state {when}"]) == (one["night"], state)
            assert row[f"fallback {when}"] == f"{100 * one['fallback_share']:.2f} %"
            assert row[f"hits {when}"] == f"{100 * one['hit_rate']:.2f} %"


def test_sasrec_beside_the_gru_is_what_the_raw_results_say() -> None:
    raw = RESULTS["encoders"]["results"]
    for row, one in zip(rows_with("SASRec over GRU"), raw, strict=True):
        assert (row["loss"], row["products"], int(row["blocks"])) == (
            one["loss"],
            one["precision"],
            one["layers"],
        )
        for head, key in (("GRU: events/s", "gru"), ("SASRec: events/s", "sasrec")):
            assert number(row[head]) == one[f"{key}_events_per_second"]
        assert number(row["SASRec over GRU"]) == said(one["sasrec_over_gru"], 2)


def test_a_step_in_shards_is_what_the_raw_results_say() -> None:
    for row, one in zip(rows_with("time over one shard"), RESULTS["shards"]["results"], strict=True):
        assert (number(row["batch events"]), int(row["shards"])) == (one["batch"], one["shards"])
        assert number(row["events a processor second"]) == one["events_per_processor_second"]
        assert number(row["time over one shard"]) == said(one["time_over_one_shard"], 2)


def test_audits_are_what_the_raw_results_say() -> None:
    heads = {"lists read once for each part of memory": "before", "each list read once": "now"}
    for row in rows_with(*heads):
        for head, name in heads.items():
            kept = {f"{one['users'] // 10**6}M": one for one in RESULTS["audit"][name]["sizes"]}
            size = kept.get(row["users"])
            assert (row[head] == "not measured") == (size is None)
            assert size is None or number(row[head]) == said(size["processor_seconds"], 1)


def test_sessions_are_what_the_raw_results_say() -> None:
    for row, one in zip(rows_with("DuckDB may have"), RESULTS["sessions"]["results"], strict=True):
        told = (row["what"], row["events"], row["DuckDB may have"], row["cut by"])
        assert told == (one["what"], f"{one['millions']:g}M", f"{one['memory_gb']:g} GB", one["engine"])
        numbers = (row["processor s"], row["for 1M"], row["peak MB"])
        each = one["seconds"] / one["millions"]
        assert numbers == (f"{one['seconds']:.2f}", f"{each:.2f}", f"{one['peak_mb']:,}")
