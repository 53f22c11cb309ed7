"""verl's `compute_score(data_source, solution_str, ground_truth, extra_info) -> float | dict` by import path."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from lydite import Completion, Evidence, Sample, Verdict, reward
from lydite_adapters.imported import checked, function_at, named_arguments

LONGEST_EXTRA: Final = 500  # characters of an extra that is kept as evidence


@reward(uses=checked("function", "verl.utils.reward_score:default_compute_score"), timeout=30.0)
def verl(
    completion: Completion,
    sample: Sample,
    *,
    function: str = "",
    data_source: str | None = None,
    data_source_column: str = "data_source",
    ground_truth_column: str | None = None,
    extra_info_column: str = "extra_info",
) -> Verdict | Awaitable[Verdict]:
    """The score that verl's function gives a completion; a dict's `acc` says whether it passed, the rest is evidence.

    `data_source` is one name for all rows, else it is read from its column. The ground truth is the sample's
    reference, or what is in `ground_truth_column`, where dots lead into tables, as in
    `reward_model.ground_truth`. An exception is an error, where verl would go on with 0.
    """
    found = {"data_source": data_source, "ground_truth": sample.reference}
    if data_source is None:
        found["data_source"] = _column(sample, data_source_column)
    if ground_truth_column is not None:
        found["ground_truth"] = _column(sample, ground_truth_column)
    for name, value in found.items():
        if value is None:
            return Verdict.error(f"{name}.missing", scope="prompt")
    known = {**found, "solution_str": completion.text, "extra_info": _column(sample, extra_info_column)}
    called = function_at(function)
    try:
        result = called(**named_arguments(called, known))
    except NotImplementedError:  # verl's word for a data source that it has no rule for
        return Verdict.error("data_source.unknown", scope="prompt")
    return _later(result) if inspect.isawaitable(result) else _verdict(result)


async def _later(result: Awaitable[Any]) -> Verdict:
    return _verdict(await result)


def _verdict(result: Any) -> Verdict:
    if result is None:
        return Verdict.abstain("score.none")
    extras: Mapping[str, Any] = {}
    if isinstance(result, Mapping):
        if result.get("score") is None:
            return Verdict.error("score.missing")
        result, extras = result["score"], {key: value for key, value in result.items() if key != "score"}
    elif isinstance(result, (list, tuple)) and result:  # verl takes the first of several
        result = result[0]
    passed, parsed = extras.get("acc"), extras.get("pred")
    return Verdict(
        float(result),
        passed=bool(passed) if passed in (0, 1) else None,
        reason="scored",
        evidence=tuple(Evidence(str(value)[:LONGEST_EXTRA], note=str(key)) for key, value in extras.items()),
        parsed=None if parsed is None else str(parsed),
    )


def _column(sample: Sample, path: str) -> Any:
    """What a column holds, or None; the columns of the row themselves come before dots."""
    if path in sample.columns:
        return sample.columns[path]
    found: Any = sample.columns
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found
