"""One chart of a page: plotly's terms without plotly, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lydite.report.curves import Curves
from lydite.report.wording import number

SHARE: Final[Mapping[str, Any]] = {"tickformat": ".0%", "rangemode": "tozero"}
"""An axis of shares of 1."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what it is called, how to read it, and plotly's traces and layout."""

    id: str
    section: str
    title: str
    hint: str
    """One line under the title that says what is drawn."""
    summary: str
    """The chart in words, for those who cannot see it."""
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def chart_of(
    id: str,
    section: str,
    title: str,
    hint: str,
    data: list[dict[str, Any]],
    curves: Curves,
    key: str,
    *,
    scale: float = 1.0,
    yaxis: Mapping[str, Any] | None = None,
    legend: bool = True,
) -> Chart:
    """The chart of these traces; `key` is the figure that its words are about."""
    several = sum(one.get("showlegend", True) for one in data) > 1
    layout = {"yaxis": dict(yaxis or {}), "showlegend": legend and several}
    return Chart(id, section, title, hint, _in_words(title, curves.steps, curves.column(key, scale)), data, layout)


def _in_words(title: str, steps: Sequence[int], values: Sequence[float | None]) -> str:
    known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    if not known:
        return f"{title}: no figures yet"
    first, last = known[0], known[-1]
    return f"{title}: {number(first[1])} at step {first[0]}, {number(last[1])} at step {last[0]}"
