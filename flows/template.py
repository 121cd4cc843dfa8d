"""The files that `rnnrec init` writes: every key with its default and meaning, and the deployments.

python -m flows.template        rnnrec.toml and the tables of docs/configuration.md, after a setting changed
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.settings.catalogue import Described, Setting, sections

HEAD = """\
# rnnrec.toml: everything a night needs to know. Every value below is the default; delete what you keep.
# Relative paths start at this file's folder. Unknown keys and values out of range are refused by name.
"""

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

  - name: comparison
    description: Every kind of model on yesterday's window, tuned alike; nothing that readers see is touched.
    entrypoint: flows.comparison.comparison
    parameters:
      config: CONFIG
      night: null
      overrides: {}
      trials: 8
    schedules:
      - slug: every-month
        cron: "0 8 2 * *" # after that morning's night
        timezone: UTC # equal to events.timezone
        active: false # takes hours on a large shop: `rnnrec compare --dry-run` says how many
    concurrency_limit: *one_at_a_time
    work_pool: *process
"""


def prefect_yaml(config: str = "rnnrec.toml") -> str:
    """The deployments and their schedules; `config` is the configuration's name in the same folder."""
    plain = config if re.fullmatch(r"[\w.-]+", config) else json.dumps(config)
    return PREFECT.replace("config: CONFIG", f"config: {plain}")


def rnnrec_toml(values: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The file's text.

    values   what replaces the defaults, by section, as in {"models.recurrent": {"units": 64}}; a section that
             is no default one is written too
    """
    changes = dict(values or {})
    text = HEAD + "".join(_section(one, changes.pop(one.name, {})) for one in sections())
    return text + "".join(_added(name, settings) for name, settings in changes.items())


def settings_table(section: Described) -> str:
    """A section's table in docs/configuration.md."""
    rows = [f"| `{one.key}` | `{one.default}` | {one.allowed} | {one.meaning} |" for one in section.settings]
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _section(section: Described, changes: Mapping[str, Any]) -> str:
    lines = [
        _line(one, json.dumps(changes[one.key]) if one.key in changes else one.default)
        for one in section.settings
    ]
    return f"\n# {section.meaning}\n[{section.name}]\n" + "".join(lines)


def _line(setting: Setting, value: str) -> str:
    said = "; ".join(part for part in (" | ".join(setting.choices), setting.meaning) if part)
    return f"{f'{setting.key} = {value}':<40}  # {said}\n"


def _added(name: str, settings: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def with_tables(page: str) -> str:
    """docs/configuration.md with the table that follows each section's heading written anew."""
    tables = {section.name: settings_table(section) for section in sections()}
    parts = re.split(r"(?m)^(?=### )", page)
    return "".join(
        _with_table(part, tables.get(part.partition("\n")[0].removeprefix("### "))) for part in parts
    )


def _with_table(part: str, table: str | None) -> str:
    return part if table is None else re.sub(r"(?m)(^\|.*\n)+", lambda _: table, part, count=1)


def main() -> None:
    """Write what the repository keeps of it: rnnrec.toml, and the tables of docs/configuration.md."""
    Path("rnnrec.toml").write_text(rnnrec_toml(), encoding="utf-8")
    page = Path("docs/configuration.md")
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
