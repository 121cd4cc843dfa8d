"""From a publication back to its raw files: which model, which days, which files, which code, which settings.

A night that shows weights of before has two origins: what its lists were asked from, which is its own, and
what the model has learnt from, which is that of the night that trained it.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, TypedDict

from tasks.errors import RegistryError
from tasks.models import registry
from tasks.publishing import publications
from tasks.publishing.publications import Publication, Publications
from tasks.settings.config import Config
from tasks.store import pins
from tasks.store.store import Store

TRAINED = ("fresh", "recipe_changed")  # states of nights whose own training is published
Days = dict[str, dict[str, Any]]


class Read(TypedDict):
    """What a run has read; None where it is not known: an older version of ours has not kept it.

    tables    sessions, events, items → day → Delta version, rows, digest, files
    sources   raw file → sha256, bytes, lines
    """

    tables: dict[str, Days] | None
    sources: dict[str, Any] | None


class Model(TypedDict):
    """The registered model, and the night that trained it.

    made_by       what it is, by name and kind; empty where the publication's verdict has neither
    trained_for   that night
    learnt        what its run has read, as the run itself or that night's publication has kept it
    delta         table → versions, as the run has logged them; None where it has not
    trouble       what the registry said instead of all this; an empty text when it answered
    """

    name: str
    version: int
    made_by: str
    run_id: str
    files: dict[str, str]
    trained_for: str | None
    learnt: Read
    delta: dict[str, list[int]] | None
    code_digest: str | None
    config_digest: str | None
    trouble: str


class Lineage(TypedDict):
    """A publication and all it was made from; plain values only.

    tables_of      the night that made its tables: another one where they were carried forward
    config_today   whether the configuration file still says the same
    rewritten      where users were forgotten since: what `publications.rewriting_told` says of it; else empty
    """

    night: str
    tables_of: str
    sequence: int
    attempt: int
    state: str
    started_at: str
    published_at: str
    content_digest: str
    tables: dict[str, dict[str, Any]]
    model: Model | None
    reads: Read
    data_digest: str
    code: dict[str, Any] | None
    config_digest: str
    config_today: bool
    rewritten: str


def lineage(cfg: Config, night: date | None = None) -> Lineage:
    """Of the last publication of a night, or of what readers see.

    Raises NightError for a night that is not published, WarehouseError where publications cannot be read. A
    registry that does not answer is told: what the publication itself has kept is known without it.
    """
    published = publications.read(Store.of(cfg))
    one = published.asked(night)
    return Lineage(
        night=one.night.isoformat(),
        tables_of=one.data_night.isoformat(),
        sequence=one.sequence,
        attempt=one.attempt,
        state=one.state,
        started_at=moment(one.started_at),
        published_at=moment(one.published_at),
        content_digest=one.content_digest,
        tables={name: pin.as_dict() for name, pin in one.tables.items()},
        model=None if one.model is None else _model(cfg, published, one, one.model),
        reads=_read_by(one),
        data_digest=one.data_digest,
        code=None if one.code is None else dict(one.code),
        config_digest=one.config_digest,
        config_today=one.config_digest == cfg.digest(),
        rewritten="" if one.rewritten is None else publications.rewriting_told(one.rewritten),
    )


def trained(published: Publications, model: pins.Model) -> Publication | None:
    """The publication of the night that trained a model: the first that shows it, if its state says so."""
    shows = (one for one in published.rows if one.model is not None and one.model.run_id == model.run_id)
    first = next(shows, None)
    return first if first is not None and first.state in TRAINED else None


def moment(when: datetime) -> str:
    """A time of the tables with its zone."""
    return when.isoformat(timespec="seconds") + "Z"


def _model(cfg: Config, published: Publications, one: Publication, model: pins.Model) -> Model:
    run, trouble = None, ""
    try:
        run = registry.logged(cfg, model.run_id)
        trouble = run.damaged
    except RegistryError as error:
        trouble = str(error)
    own = trained(published, model)
    tags = run.tags if run else {}
    return Model(
        name=model.name,
        version=model.version,
        made_by=published.origin(one).made_by,
        run_id=model.run_id,
        files=dict(model.files),
        trained_for=tags.get("night") or (own.night.isoformat() if own else None),
        learnt=_learnt(run, own),
        delta=_delta_versions(run),
        code_digest=tags.get("code_digest"),
        config_digest=tags.get("config_digest"),
        trouble=trouble,
    )


def _learnt(run: registry.Logged | None, own: Publication | None) -> Read:
    if run is not None and run.inputs is not None:
        return Read(tables=run.inputs["tables"], sources=run.inputs["sources"])
    return Read(tables=None, sources=None) if own is None else _read_by(own)


def _delta_versions(run: registry.Logged | None) -> dict[str, list[int]] | None:
    if run is None or run.inputs is None:
        return None
    tables: dict[str, Days] = run.inputs["tables"]
    return {table: sorted({day["version"] for day in days.values()}) for table, days in tables.items()}


def _read_by(one: Publication) -> Read:
    return Read(
        tables=None
        if one.reads is None
        else {
            table: {day.isoformat(): pin.as_dict() for day, pin in days.items()}
            for table, days in one.reads.items()
        },
        sources=None if one.sources is None else {name: asdict(file) for name, file in one.sources.items()},
    )
