"""Figures of one step, as a run recorded them and as they came out again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FLOOR: Final = 0.05
"""Figures smaller than this are compared as if they were this large: a loss near 0 has no meaningful relative error."""
ROUGH: Final = ("clip_ratio/", "sampling/")
"""Figures that count single tokens, are those of the furthest one, or are themselves what rounding makes."""
ROUGH_FLOOR: Final = 1.0
"""They are compared as if they were at least this large."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a step."""

    name: str
    recorded: float | None
    """None where the run recorded none of that name."""
    redone: float | None
    """None where the updates gave none of that name this time."""

    @property
    def difference(self) -> float | None:
        """What is redone less what was recorded."""
        return None if self.recorded is None or self.redone is None else self.redone - self.recorded

    def agrees(self, tolerance: float) -> bool:
        """True when the difference is at most `tolerance` times the larger of the two, or of a floor if both are less.

        The floor is 0.05, and 1 for shares of clipped tokens and the sampler's distance, which a few tokens make.
        With 0, only equal numbers agree. A figure that one side lacks never does.
        """
        if self.recorded is None or self.redone is None:
            return False
        if self.recorded == self.redone:
            return True
        floor = ROUGH_FLOOR if self.name.startswith(ROUGH) else FLOOR
        return abs(self.redone - self.recorded) <= tolerance * max(abs(self.recorded), abs(self.redone), floor)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of one step that its updates give."""

    step: int
    figures: tuple[Figure, ...]
    tolerance: float

    @property
    def apart(self) -> tuple[Figure, ...]:
        """The figures that do not agree."""
        return tuple(one for one in self.figures if not one.agrees(self.tolerance))

    @property
    def same(self) -> bool:
        """True when every figure agrees, and there is at least one."""
        return bool(self.figures) and not self.apart


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay came to."""

    folder: str
    start: int
    """The step of the checkpoint that it began from; 0: the adapter's fresh start."""
    device: str
    changes: tuple[str, ...]
    """What is not as it was when the run was made, a line each; empty when the same bits are to be expected."""
    steps: tuple[Comparison, ...]
    """Every step that was redone, the one that was asked for last."""
    weights_gap: float | None
    """The largest difference of a trained weight from the run's own checkpoint of the step; None where it has none."""
    moved: tuple[str, ...] = ()
    """What is elsewhere, missing or damaged without a consequence for the numbers, a line each."""

    @property
    def asked(self) -> Comparison:
        """The step that was asked for."""
        return self.steps[-1]

    @property
    def same(self) -> bool:
        """True when every figure of the step agrees and, where the same bits are expected, so do the weights."""
        exact = self.asked.tolerance == 0.0
        return self.asked.same and not (exact and self.weights_gap)

    @property
    def first_apart(self) -> int | None:
        """The earliest step whose figures do not agree."""
        return next((one.step for one in self.steps if not one.same), None)

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        return {
            "run": self.folder,
            "step": self.asked.step,
            "start": self.start,
            "device": self.device,
            "changes": list(self.changes),
            "moved": list(self.moved),
            "tolerance": self.asked.tolerance,
            "same": self.same,
            "first_apart": self.first_apart,
            "weights_gap": self.weights_gap,
            "figures": {
                one.name: {"recorded": one.recorded, "redone": one.redone, "agrees": one.agrees(self.asked.tolerance)}
                for one in self.asked.figures
            },
        }


def compare(
    step: int, recorded: Mapping[str, float] | None, redone: Mapping[str, float], tolerance: float
) -> Comparison:
    """The figures that the step's updates gave, beside those that the run recorded; None: it recorded nothing."""
    there = recorded or {}
    return Comparison(step, tuple(Figure(name, there.get(name), value) for name, value in redone.items()), tolerance)
