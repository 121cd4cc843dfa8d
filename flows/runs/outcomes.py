"""The state a run ends in says what happened: the verdict of a good night; what broke, and what to do next.

Flows return these states in place of results, and Prefect unwraps them: the caller gets the result, or the
error raised. The types say what the caller gets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from prefect.states import Completed, Failed

from flows.runs.naming import tag
from tasks.errors import PipelineError, StaleError, remedy


def completed(result: dict[str, Any]) -> dict[str, Any]:
    """A night's result in a state whose message is its sentence; the run gets tags to be found by."""
    tag(result["state"].replace("_", "-"), f"model-version:{result['model_version']}")
    return cast("dict[str, Any]", Completed(data=result, message=result["sentence"]))


def compared(result: dict[str, Any]) -> dict[str, Any]:
    """A comparison's result in a state whose message is its sentence."""
    return cast("dict[str, Any]", Completed(data=result, message=result["sentence"]))


def seen(sentence: str) -> str:
    """A sentence in a state whose message it is."""
    return cast("str", Completed(data=sentence, message=sentence))


def all_completed(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for several nights: how many they were, and the last one's sentence."""
    states = Counter(result["state"].replace("_", " ") for result in results)
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    told = f"{len(results)} night(s): {counted}. {results[-1]['sentence']}"
    return cast("list[dict[str, Any]]", Completed(data=list(results), message=told))


def failed(night: str, error: PipelineError) -> Any:
    """The error in a state whose message says all there is to say, tagged with what was published."""
    if error.published:
        tag(error.published.replace("_", "-"))
    return _ended_with(error, f"night {night} failed. {error}")


def unpublished(night: str, error: PipelineError) -> Any:
    """The same where a night was only looked for; a StaleError is a whole sentence about it."""
    said = str(error) if isinstance(error, StaleError) else f"night {night} could not be looked for. {error}"
    return _ended_with(error, said)


def failure(said: str, error: str, readers: str = "") -> str:
    """What broke, what readers see then, and what to do next, which `error`, a class's name, decides."""
    after = f"{readers or 'The publications before it are untouched'}. Next: {remedy(error)}."
    return f"{said[0].upper()}{said[1:]}\n{after}"


def _ended_with(error: PipelineError, said: str) -> Any:
    return Failed(data=error, message=failure(said, type(error).__name__, error.readers))
