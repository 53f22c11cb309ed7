"""What each verifier did over a whole run, counted in one pass over its completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lydite.report.reader import Record
from lydite.report.wording import is_number

STATUSES: Final = ("ok", "abstain", "error", "timeout")


@dataclass(slots=True)
class Tally:
    """One reward's verdicts so far."""

    name: str
    n: int = 0
    scored: int = 0
    total: float = 0.0
    low: float | None = None
    high: float | None = None
    judged: int = 0
    """Verdicts that say whether the completion passed."""
    passed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By status and reason."""
    verifier: str = ""
    version: str = ""

    @property
    def mean(self) -> float | None:
        """The mean raw score of the verdicts that have one."""
        return self.total / self.scored if self.scored else None

    def add(self, verdict: Record) -> None:
        """Counts one verdict."""
        self.n += 1
        status = str(verdict.get("status", "ok"))
        self.statuses[status] += 1
        self.reasons[status, str(verdict.get("reason") or "")] += 1
        score = verdict.get("score")
        if is_number(score):
            self.scored += 1
            self.total += score
            self.low = score if self.low is None else min(self.low, score)
            self.high = score if self.high is None else max(self.high, score)
        if isinstance(verdict.get("passed"), bool):
            self.judged += 1
            self.passed += bool(verdict["passed"])
        self.verifier = str(verdict.get("verifier") or self.verifier)
        self.version = str(verdict.get("version") or self.version)


class Tallies:
    """Every reward's tally, in the order in which rewards first judged."""

    def __init__(self) -> None:
        self.by_name: dict[str, Tally] = {}
        self.completions = 0

    def add(self, completion: Record) -> None:
        """Counts the verdicts on one completion."""
        self.completions += 1
        for name, verdict in _mapping(completion.get("rewards")).items():
            if isinstance(verdict, Mapping):
                self.by_name.setdefault(name, Tally(name)).add(verdict)


def judging_seconds(name: str, timings: Sequence[Record]) -> tuple[float | None, float | None]:
    """Mean over the steps of a reward's mean seconds, and its longest verdict; None where nothing was timed."""
    means = [one[key] for one in timings if is_number(one.get(key := f"rewards/{name}/seconds_mean"))]
    longest = [one[key] for one in timings if is_number(one.get(key := f"rewards/{name}/seconds_max"))]
    return (sum(means) / len(means) if means else None, max(longest) if longest else None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
