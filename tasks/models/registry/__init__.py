"""The model registry: one MLflow run a night, one version a published model, two aliases.

The only room that imports mlflow (`pyfunc_model.py` is shipped inside a model and run there). Every file of
a model, its code too, is listed with its sha256 in the run's `model_files.json`; a tag of the version has the
sha256 of that list; what differs from the list, or lies elsewhere, is not loaded. Versions of before the
list have a tag for each of their weights' files, and are held against these.

    alias challenger   the newest night's own model, published or not
    alias champion     the model behind the newest published tables

A night is judged against the champion of the night before, also when it is run again: from the alias, follow
the tag `previous_run_id` while the version's night is not before the night that is judged. Numbers are not
followed: a registry that was lost and made anew numbers from 1 again.
"""

from tasks.models.registry.comparisons import log_comparison
from tasks.models.registry.connection import is_gone, lost, reach, tracking_uri
from tasks.models.registry.copies import check, fetch, pin
from tasks.models.registry.erasure import without_users
from tasks.models.registry.history import log_nights
from tasks.models.registry.packages import code_digest
from tasks.models.registry.registration import describe, register
from tasks.models.registry.removal import Unneeded, remove, retire, unneeded
from tasks.models.registry.runs import Logged, log_report, logged
from tasks.models.registry.versions import (
    CHALLENGER,
    CHAMPION,
    Facts,
    Version,
    aliased,
    by_alias,
    champion_before,
    get,
    lacks,
    promote,
    set_champion,
)

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Facts",
    "Logged",
    "Unneeded",
    "Version",
    "aliased",
    "by_alias",
    "champion_before",
    "check",
    "code_digest",
    "describe",
    "fetch",
    "get",
    "is_gone",
    "lacks",
    "log_comparison",
    "log_nights",
    "log_report",
    "logged",
    "lost",
    "pin",
    "promote",
    "reach",
    "register",
    "remove",
    "retire",
    "set_champion",
    "tracking_uri",
    "unneeded",
    "without_users",
]
