"""A run in a notebook: progress and table that update in place, curves as a plotly figure, and a card for a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from lydite.errors import MissingExtraError
from lydite.hookspecs import hookimpl
from lydite.report.chart import Chart
from lydite.report.charts import charts_of
from lydite.report.ending import five_questions, mark, report_path
from lydite.report.guard import quiet
from lydite.report.overview import Tile, overview_of
from lydite.report.reader import RunData, read_run
from lydite.report.standing import Standing
from lydite.report.wording import clock, one_line, shorten, shorten_front
from lydite.types import RunInfo, RunResult, StepReport

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLORS: Final = ("#c08a12", "#3a7bc0", "#22957f", "#cf5f3b", "#8560c0", "#77818c")
"""Readable on a light and on a dark notebook alike."""
_COLUMNS: Final = 2
_ROW_HEIGHT: Final = 280
_QUESTION: Final = 90
_ANSWER: Final = 40


class Handle(Protocol):
    """A displayed thing that can be replaced."""

    def update(self, html: str) -> None:
        """Shows this instead."""


class NotebookDisplay:
    """Shows a run in a notebook, without widgets: any front end that shows HTML will do."""

    def __init__(
        self, show: Callable[[str], Handle] | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.broken = False
        self._show = show or _show_in_ipython
        self._standing = Standing(now)
        self._handle: Handle | None = None

    @hookimpl
    @quiet
    def lydite_start(self, run: RunInfo) -> None:
        """Puts up the bar and the table."""
        self._standing.start(run)
        self._handle = self._show(progress_html(self._standing))

    @hookimpl
    @quiet
    def lydite_step(self, report: StepReport) -> None:
        """Moves them."""
        self._standing.add(report)
        if self._handle is not None:
            self._handle.update(progress_html(self._standing))

    @hookimpl
    @quiet
    def lydite_finish(self, result: RunResult) -> None:
        """Shows what came out in their place."""
        html = result_html(result.folder)
        if self._handle is not None:
            self._handle.update(html)
        else:
            self._show(html)

    def close(self) -> None:
        """Nothing to give back: what was shown stays."""


def progress_html(standing: Standing) -> str:
    """The bar with the time left, and the table under it."""
    share = standing.step / standing.max_steps if standing.max_steps else 0.0
    left = standing.left
    time_left = "first step" if left is None else f"{clock(left)} left"
    where = f"step {standing.step} of {standing.max_steps} · {clock(standing.elapsed)} · {time_left}"
    head = f"<tr><td></td><td {_HEAD}>first</td><td {_HEAD}>now</td></tr>"
    rows = "".join(
        f"<tr><td {_LABEL}>{escape(row.name)}</td><td {_NUMBER}>{escape(row.first)}</td>"
        f"<td {_NUMBER}><b>{escape(row.now)}</b></td></tr>"
        for row in standing.rows()
    )
    warning = f'<div style="color:#b3261e">{escape(standing.warning)}</div>' if standing.warning is not None else ""
    return (
        f'<div style="font-family:sans-serif;max-width:640px;line-height:1.5">'
        f"<div><b>{escape(standing.name)}</b> · {where}</div>"
        f'<progress max="1" value="{share:.4f}" style="width:100%;accent-color:{_COLORS[0]}"></progress>'
        f'<table style="border-collapse:collapse">{head}{rows}</table>{warning}'
        f"</div>"
    )


def result_html(folder: Path | str) -> str:
    """A card about a run: its figures, five questions before and after, and where the report is.

    Raises:
        ConfigError: when the folder holds no run.
    """
    run = read_run(folder)
    overview = overview_of(run)
    tiles = "".join(_tile(tile) for tile in overview.tiles)
    path = report_path(run)
    report = f"<p {_LABEL}>report: <code>{escape(str(path))}</code></p>" if path is not None else ""
    return (
        f'<div style="font-family:sans-serif;line-height:1.45;max-width:960px">'
        f"<p><b>{escape(overview.name)}</b> · {escape(overview.status_text)}</p>"
        f'<div style="display:flex;flex-wrap:wrap;gap:10px 34px">{tiles}</div>{_before_after(run)}{report}</div>'
    )


def figure(folder: Path | str) -> Figure:
    """All curves of a run as one plotly figure.

    Raises:
        ConfigError: when the folder holds no run.
        MissingExtraError: when plotly is not installed.
    """
    try:
        from plotly.subplots import make_subplots
    except ImportError:
        raise MissingExtraError('curves are drawn with plotly: pip install "lydite[report]"') from None
    charts = charts_of(read_run(folder))
    rows = max(1, -(-len(charts) // _COLUMNS))
    made = make_subplots(
        rows=rows,
        cols=_COLUMNS,
        subplot_titles=[chart.title for chart in charts],
        vertical_spacing=min(0.3, 0.36 / rows),
    )
    for place, chart in enumerate(charts):
        where = {"row": place // _COLUMNS + 1, "col": place % _COLUMNS + 1}
        for trace in chart.data:
            made.add_trace(_painted({**trace, "showlegend": False}), **where)
        made.update_yaxes(_axis(chart), **where)
    return made.update_layout(
        height=_ROW_HEIGHT * rows, margin={"l": 50, "r": 20, "t": 40, "b": 30}, hovermode="x", template="plotly_white"
    )


def _axis(chart: Chart) -> dict[str, Any]:
    return dict(chart.layout["yaxis"])


def _painted(value: Any) -> Any:
    """The trace with colours in place of their names."""
    if isinstance(value, str) and value.startswith("@"):
        color = _COLORS[int(value[1]) - 1]
        red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
        opacity = 0.18 if value.endswith("-soft") else 0.7 if value.endswith("-area") else 1
        return f"rgba({red},{green},{blue},{opacity})"
    if isinstance(value, dict):
        return {key: _painted(one) for key, one in value.items()}
    return value


def _tile(tile: Tile) -> str:
    return (
        f"<div><div {_LABEL}>{escape(tile.label)}</div>"
        f'<div style="font-size:1.35em">{escape(tile.value)}</div><div {_LABEL}>{escape(tile.detail)}</div></div>'
    )


def _before_after(run: RunData) -> str:
    pairs = five_questions(run)
    if not pairs:
        return ""
    rows = "".join(
        f"<tr><td {_CELL}>{escape(shorten_front(pair.question, _QUESTION))}</td>"
        + "".join(
            f"<td {_CELL}>{_MARKS[answer.right]} {escape(shorten(one_line(answer.text) or '(empty)', _ANSWER))}</td>"
            for answer in (pair.before, pair.after)
        )
        + "</tr>"
        for pair in pairs
    )
    heads = "".join(f"<td {_HEAD_LEFT}>{name}</td>" for name in ("held-out question", "before", "after"))
    return f'<table style="border-collapse:collapse;margin-top:12px"><tr>{heads}</tr>{rows}</table>'


_LABEL: Final = 'style="opacity:.7;font-size:.88em;text-align:left"'
_HEAD: Final = 'style="opacity:.7;font-size:.88em;text-align:right;padding-left:24px"'
_HEAD_LEFT: Final = 'style="opacity:.7;font-size:.88em;text-align:left;padding-right:24px"'
_NUMBER: Final = 'style="text-align:right;padding-left:24px"'
_CELL: Final = 'style="text-align:left;padding-right:24px"'
_MARKS: Final = {
    right: f'<span title="{mark(right)}">{sign}</span>' for right, sign in ((True, "✓"), (False, "✗"), (None, "?"))
}


class _InPlace:
    """An IPython display that takes HTML."""

    def __init__(self, html: str) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle = display(HTML(html), display_id=True)

    def update(self, html: str) -> None:
        if self._handle is not None:
            self._handle.update(self._html(html))


def _show_in_ipython(html: str) -> Handle:
    return _InPlace(html)
