"""The files that `rnnrec init` writes: every key with its default and meaning, and the deployments."""

from __future__ import annotations

import json
import re
from typing import Any

from tasks.settings.config import Config

HEAD = """\
# rnnrec.toml: everything a night needs to know. Every value below is the default; delete what you keep.
# Relative paths start at this file's folder. Unknown keys and values out of range are refused by name.
"""

SECTIONS = {
    "events": "Where the raw logs lie, and how to read them.",
    "events.columns": "Names of your columns; no session_id means: sessions are cut by an inactivity gap.",
    "sessions": "What a session is.",
    "model": "The network.",
    "training": "How it is fitted.",
    "evaluation": "How models are ranked on the holdout day, the newest day of the window.",
    "gate": "When a challenger becomes the champion.",
    "recommendations": "What the published tables hold.",
    "warehouse": "Where tables live, and what DuckDB may take.",
    "registry": "Where MLflow lives.",
    "alerts": "Who is woken. Addresses and passwords stay out of this file: it names what holds them.",
}

COMMENTS = {
    "events.sources": "globs of log files",
    "events.format": "auto (by file name) | parquet | csv | ndjson",
    "events.timestamp_unit": "auto | s | ms | us | iso",
    "events.timezone": "IANA name; a day and a night are local days there",
    "events.max_reject_share": "more refused lines than this share, and the night fails",
    "sessions.gap_minutes": "inactivity that ends a session, when sessions are not given",
    "sessions.min_length": "shorter sessions are left out",
    "sessions.max_length": "longer sessions keep their newest events",
    "sessions.repeats": "keep | collapse (an item clicked twice in a row counts once)",
    "sessions.window_days": "days a model learns from, the night's own day included",
    "evaluation.cutoffs": "k of Recall@k, MRR@k, NDCG@k",
    "evaluation.baselines": "popularity, session_popularity, markov, sequential_rules, vsknn",
    "evaluation.max_sessions": "holdout sessions ranked at most, chosen by the hash of their id",
    "gate.metric": "the one metric that decides",
    "gate.min_improvement": "by how much a challenger has to be better than the champion",
    "recommendations.k": "rows for each user and each item",
    "recommendations.active_days": "users with an event in so many days get recommendations",
    "recommendations.exclude_seen": "leave out the items of the user's recent session",
    "recommendations.popular_items": "rows of the table popular_items",
    "warehouse.root": "folder of all tables, models and serve.duckdb",
    "warehouse.access": "private | group | all: who may read all that a run writes; nobody else may write",
    "warehouse.memory_gb": "DuckDB's memory limit; beyond it, it spills to disk",
    "warehouse.threads": "0: all cores",
    "registry.tracking_uri": "empty: SQLite beside the tables; else an MLflow server, as in http://host:5000",
    "registry.model_name": "the registered model's name",
    "registry.experiment": "the MLflow experiment that holds a run for each night",
    "alerts.slack_env": "environment variable with a Slack webhook, https://hooks.slack.com/services/...",
    "alerts.webhook_env": "environment variable with an address that is sent title and message as JSON",
    "alerts.email_env": "environment variable with mailtos://user:password@smtp.host:587?from=...&to=...",
    "alerts.blocks": "notification blocks on the Prefect server, as in pager-duty-webhook/on-call",
}

PREFECT = """\
# Every deployment and its schedule. `rnnrec deploy` (or `rnnrec server`) brings the server in line with it.
# Removing a schedule here deletes nothing on the server: set `active: false` instead.
name: rnnrec
prefect-version: 3.8.8

pull:
  - prefect.deployments.steps.set_working_directory:
      directory: "{{ $RNNREC_HOME }}"

definitions:
  work_pool: &process
    name: rnnrec
    job_variables:
      env:
        PREFECT_LOGGING_EXTRA_LOGGERS: flows,tasks,rnnrec_model
        DO_NOT_TRACK: "1"
        OMP_WAIT_POLICY: passive
        MLFLOW_DISABLE_TELEMETRY: "true"
  one_at_a_time: &one_at_a_time
    limit: 1
    collision_strategy: ENQUEUE # a night is idempotent, so waiting is right and cancelling is not

deployments:
  - name: nightly
    description: One night; without a `night`, yesterday in the events' time zone, seen from the due time.
    entrypoint: flows.nightly.nightly
    parameters:
      config: CONFIG
      night: null
      overrides: {}
    schedules:
      - slug: every-night
        cron: "30 2 * * *" # after the last log has come in
        timezone: UTC # keep this and the watch's equal to events.timezone, or they may mean different nights
        active: true
    concurrency_limit: *one_at_a_time
    work_pool: *process

  - name: watch
    description: Is last night published by now? A no is a failed run, of which [alerts] tells.
    entrypoint: flows.watch.watch
    parameters:
      config: CONFIG
      night: null
      overrides: {}
    schedules:
      - slug: every-morning
        cron: "30 6 * * *" # when readers come; local to the timezone below
        timezone: UTC # equal to events.timezone
        active: true
    concurrency_limit: *one_at_a_time
    work_pool: *process

  - name: backfill
    description: Past nights, oldest first; neither champion nor readers who see a night move unless asked.
    entrypoint: flows.backfill.backfill
    parameters:
      config: CONFIG
      overrides: {}
      promote: false
      move_latest: false
    concurrency_limit: *one_at_a_time
    work_pool: *process
"""


def prefect_yaml(config: str = "rnnrec.toml") -> str:
    """The deployments and their schedules; `config` is the configuration's name in the same folder."""
    plain = config if re.fullmatch(r"[\w.-]+", config) else json.dumps(config)
    return PREFECT.replace("config: CONFIG", f"config: {plain}")


def rnnrec_toml(values: dict[str, dict[str, Any]] | None = None) -> str:
    """The file's text; `values` replaces the defaults, section by section."""
    tree = Config().as_dict()
    for section, changes in (values or {}).items():
        tree[section] = tree[section] | changes
    return HEAD + "".join(_section(name, settings) for name, settings in tree.items())


def _section(name: str, settings: dict[str, Any]) -> str:
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in settings.items() if isinstance(value, dict)}
    lines = [_line(name, key, value) for key, value in plain.items()]
    text = f"\n# {SECTIONS[name]}\n[{name}]\n" + "".join(lines)
    return text + "".join(_section(f"{name}.{key}", value) for key, value in nested.items())


def _line(section: str, key: str, value: Any) -> str:
    comment = COMMENTS.get(f"{section}.{key}") or _documented(section).get(key, "")
    setting = f"{key} = {json.dumps(value)}"
    return f"{setting:<40}  # {comment}\n" if comment else f"{setting}\n"


def _documented(section: str) -> dict[str, str]:
    """What the model library's settings say of themselves in their docstrings."""
    settings = getattr(Config(), section, None)
    text = type(settings).__doc__ or ""
    found = re.findall(r"^    (\w+)  +(\S.*(?:\n {8,}\S.*)*)", text, flags=re.MULTILINE)
    return {name: " ".join(comment.split()) for name, comment in found}
