"""What the probes of a run found: which attacks a reward paid, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lydite.report.reader import Record

Kind = Literal["attack", "canary"]
_TEXT: Final = 160  # characters of an example


@dataclass(slots=True)
class Taken:
    """One attack that a reward passed."""

    attack: str
    passed: int = 0
    tried: int = 0
    last_step: int = 0
    example: str = ""


@dataclass(slots=True)
class Probed:
    """What one reward made of one kind of probe."""

    reward: str
    kind: Kind
    tried: int = 0
    passed: int = 0
    rounds: set[int] = field(default_factory=set)
    by_attack: dict[str, Taken] = field(default_factory=dict)

    @property
    def taken(self) -> list[Taken]:
        """The attacks that it passed, the most frequent first."""
        return sorted((one for one in self.by_attack.values() if one.passed), key=lambda one: (-one.passed, one.attack))


def probed_of(records: Sequence[Record]) -> tuple[Probed, ...]:
    """Every reward's probes, in the order in which they were first tried."""
    found: dict[tuple[str, str], Probed] = {}
    for record in records:
        kind: Kind = "canary" if record.get("kind") == "canary" else "attack"
        paid = _names(record.get("paid"))
        for name in _asked(record):
            one = found.setdefault((name, kind), Probed(name, kind))
            _count(one, record, passed=name in paid)
    return tuple(found.values())


def _asked(record: Record) -> Iterator[str]:
    """The rewards that the probe was about; those that only stand behind them are in the record too."""
    about = record.get("about")
    yield from _names(about if about is not None else record.get("rewards"))


def _count(one: Probed, record: Record, *, passed: bool) -> None:
    attack, step = str(record.get("attack", "")), int(record.get("step", 0))
    one.tried += 1
    one.passed += passed
    one.rounds.add(step)
    taken = one.by_attack.setdefault(attack, Taken(attack))
    taken.tried += 1
    if passed:
        taken.passed += 1
        taken.last_step = step
        taken.example = str(record.get("text", ""))[:_TEXT]


def _names(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple | Mapping) else []
