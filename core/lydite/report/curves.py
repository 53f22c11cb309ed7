"""Columns of a run's logs as plotly traces in JSON terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lydite.report.reader import Record
from lydite.report.wording import is_number

MAX_POINTS: Final = 1500
"""Points of one curve: more than a chart has pixels."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One log's columns over its steps."""

    records: Sequence[Record]
    steps: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", [int(one["step"]) for one in self.records])

    def column(self, key: str, scale: float = 1.0) -> list[float | None]:
        """One figure at every step; None where it is missing or not finite."""
        return [one[key] * scale if is_number(one.get(key)) else None for one in self.records]

    def has(self, key: str) -> bool:
        """True when the figure is there at any step."""
        return any(is_number(one.get(key)) for one in self.records)

    def line(self, key: str, name: str, color: str, *, scale: float = 1.0, dash: str = "solid") -> dict[str, Any]:
        """A curve of one figure."""
        return curve(self.steps, self.column(key, scale), name, color, dash)

    def band(self, low: list[float | None], high: list[float | None], name: str, color: str) -> list[dict[str, Any]]:
        """The area between two curves, under one name."""
        edge = {"mode": "lines", "line": {"width": 0, "color": color}, "hoverinfo": "skip", "type": "scatter"}
        return [
            {**edge, "x": self.steps, "y": high, "showlegend": False, "legendgroup": name},
            {
                **edge,
                "x": self.steps,
                "y": low,
                "fill": "tonexty",
                "fillcolor": f"{color}-soft",
                "name": name,
                "legendgroup": name,
            },
        ]

    def deviation(
        self, mean: str, std: str, color: str, name: str = "± one standard deviation"
    ) -> list[dict[str, Any]]:
        """The band of one standard deviation around a mean."""
        pairs = list(zip(self.column(mean), self.column(std), strict=True))
        low = [m - s if m is not None and s is not None else None for m, s in pairs]
        high = [m + s if m is not None and s is not None else None for m, s in pairs]
        return self.band(low, high, name, color)


def curve(x: list[int], y: Sequence[float | None], name: str, color: str, dash: str) -> dict[str, Any]:
    """One line of a chart."""
    # A lone point has no line to be seen by.
    mode = "lines+markers" if sum(value is not None for value in y) < 2 else "lines"
    # A figure that exists at some steps only, such as an evaluation, is one curve all the same.
    line = {"color": color, "width": 2, "dash": dash}
    return {"type": "scatter", "mode": mode, "name": name, "x": x, "y": y, "line": line, "connectgaps": True}


def stride_of(records: Sequence[Record]) -> int:
    """1 where every record is drawn, n where every n-th is."""
    return max(1, -(-len(records) // MAX_POINTS))


def thinned(records: Sequence[Record]) -> Sequence[Record]:
    """About `MAX_POINTS` records at most, evenly spaced, and the last one always among them."""
    stride = stride_of(records)
    if stride == 1:
        return records
    return [*records[:-1:stride], records[-1]]
