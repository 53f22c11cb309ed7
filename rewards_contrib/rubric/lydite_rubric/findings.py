"""What came of one criterion: met, not met, or nobody could tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lydite import Evidence, Status, Verdict
from lydite_rubric.rubric import Criterion


@dataclass(frozen=True, slots=True)
class Finding:
    """One criterion decided, or dropped."""

    met: bool | None
    """None: dropped, and counted on neither side."""
    reason: str
    """One of the README's closed set."""
    evidence: tuple[Evidence, ...] = ()
    blame: Literal["completion", "prompt", "judge"] = "completion"
    """For a dropped criterion: whose doing it is."""


UNASKED = Finding(None, "criterion.unasked")


def decided(met: bool, evidence: tuple[Evidence, ...] = ()) -> Finding:
    """A criterion that is met, or that is not."""
    return Finding(met, "criterion.met" if met else "criterion.unmet", evidence)


def is_against(criterion: Criterion, finding: Finding) -> bool:
    """Whether the finding counts against the answer: points not earned, or points lost."""
    return finding.met is not None and finding.met != (criterion.points > 0)


def part_of(criterion: Criterion, finding: Finding) -> Verdict:
    """The finding as a part of the rubric's verdict: score 1 for met and 0 for not met; abstaining when dropped."""
    tags = (Evidence(", ".join(criterion.tags), note="tags"),) if criterion.tags else ()
    points = Evidence(f"{criterion.points:g}", note="points")
    evidence = (*finding.evidence, points, *tags)
    if finding.met is None:
        scope: Literal["completion", "prompt"] = "completion" if finding.blame == "completion" else "prompt"
        return Verdict(None, Status.ABSTAIN, reason=finding.reason, evidence=evidence, scope=scope)
    return Verdict(float(finding.met), passed=finding.met, reason=finding.reason, evidence=evidence)
