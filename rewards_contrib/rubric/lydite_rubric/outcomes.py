"""The verdict of a whole rubric, from what was found about its criteria."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lydite import Evidence, Status, Verdict
from lydite_rubric.arithmetic import ROUNDING, dropped_share, worst
from lydite_rubric.findings import UNASKED, Finding, part_of
from lydite_rubric.reasons import BROKEN
from lydite_rubric.rubric import Criterion, Rubric


def scored(rubric: Rubric, findings: Mapping[str, Finding], score: float, *, passed: bool) -> Verdict:
    """The verdict on an answer that was held against the criteria."""
    return Verdict(
        score, passed=passed, reason="rubric.scored", evidence=_origin(rubric), parts=_parts(rubric, findings)
    )


def stopped(rubric: Rubric, findings: Mapping[str, Finding], reason: str) -> Verdict:
    """The rubric's worst, for an answer that was not looked at to the end."""
    parts = _parts(rubric, findings)
    return Verdict(worst(rubric.points), passed=False, reason=reason, evidence=_origin(rubric), parts=parts)


def undecided(rubric: Rubric, findings: Mapping[str, Finding], max_dropped: float) -> Verdict:
    """No score, since too much was dropped. The reason is that of the heaviest loss.

    It is the completion's own doing unless what the prompt and the judge dropped is too much by itself.
    """
    lost = [one for one in rubric.criteria if one.id in findings and findings[one.id].met is None]
    weights: dict[str, float] = {}
    for one in lost:
        reason = findings[one.id].reason
        weights[reason] = weights.get(reason, 0.0) + abs(one.points)
    heaviest = max(weights, key=lambda reason: weights[reason])
    outside = [one.id for one in lost if findings[one.id].blame != "completion"]
    scope: Literal["completion", "prompt"] = "completion"
    if outside and (len(outside) == len(lost) or _share(rubric, outside) > max_dropped + ROUNDING):
        scope = "prompt"
    return Verdict(
        None,
        Status.ERROR if heaviest in BROKEN else Status.ABSTAIN,
        reason=heaviest,
        evidence=(_told(rubric, lost, findings), *_origin(rubric)),
        parts=_parts(rubric, findings),
        scope=scope,
    )


def _share(rubric: Rubric, ids: Sequence[str]) -> float:
    return dropped_share(rubric.points, [None if one.id in ids else False for one in rubric.criteria])


def _told(rubric: Rubric, lost: Sequence[Criterion], findings: Mapping[str, Finding]) -> Evidence:
    """What was lost, and the first message behind it."""
    share = _share(rubric, [one.id for one in lost])
    causes = [evidence.text for one in lost for evidence in findings[one.id].evidence if evidence.note == "error"]
    behind = f": {causes[0]}" if causes else ""
    names = ", ".join(f"{one.id} ({findings[one.id].reason})" for one in lost)
    return Evidence(
        f"{share:.0%} of the points of rubric {rubric.name!r} could not be decided{behind}; {names}", note="error"
    )


def _origin(rubric: Rubric) -> tuple[Evidence, ...]:
    return (Evidence(f"{rubric.name} {rubric.version} {rubric.digest}".strip(), note="rubric"),)


def _parts(rubric: Rubric, findings: Mapping[str, Finding]) -> dict[str, Verdict]:
    return {one.id: part_of(one, findings.get(one.id, UNASKED)) for one in rubric.criteria}
