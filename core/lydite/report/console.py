"""A run on a terminal: one progress bar with the time left, and a small table that moves with it.

A display must never stop a run: what goes wrong in here ends the display, with one line that says so.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lydite.hookspecs import hookimpl
from lydite.report.ending import five_questions, mark, report_path
from lydite.report.guard import quiet
from lydite.report.overview import heldout_line
from lydite.report.reader import RunData, read_run
from lydite.report.standing import Standing, sparkline, start_facts
from lydite.report.wording import clock, one_line, printable, shorten, shorten_front
from lydite.types import RunInfo, RunResult, StepReport

_REFRESH: Final = 4  # redraws a second: a clock that runs smoothly, and no work to speak of
_CURVE: Final = 24  # characters of the small curve
_STATES: Final = {True: "green", False: "red", None: "dim"}


class ConsoleDisplay:
    """Shows a run on a terminal. `close` gives the terminal back; call it when a run ends by an error."""

    def __init__(self, console: Console | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.console = console or Console(highlight=False)
        self.broken = False
        self._standing = Standing(now)
        self._live: Live | None = None

    @hookimpl
    @quiet
    def lydite_start(self, run: RunInfo) -> None:
        """Says what is about to happen, and puts up the bar."""
        self._standing.start(run)
        print_start_summary(run, self.console)
        self._live = Live(
            get_renderable=self._picture, console=self.console, refresh_per_second=_REFRESH, transient=False
        )
        self._live.start()
        atexit.register(self.close)  # a cursor that stays hidden outlives the process

    @hookimpl
    @quiet
    def lydite_step(self, report: StepReport) -> None:
        """Moves the bar and the table."""
        self._standing.add(report)
        if self._live is not None:
            self._live.refresh()

    @hookimpl
    @quiet
    def lydite_finish(self, result: RunResult) -> None:
        """Takes down the bar and says what came out."""
        self.close()
        print_ending(read_run(result.folder), self.console)

    def close(self) -> None:
        """Stops drawing and shows the cursor again; as often as you like."""
        live, self._live = self._live, None
        if live is not None:
            atexit.unregister(self.close)
            live.stop()

    def _picture(self) -> RenderableType:
        try:
            warning = self._standing.warning
            told = [Text(warning, style="red")] if warning is not None else []
            return Group(_bar_line(self._standing), _figures(self._standing, self.console), *told)
        except Exception as error:  # noqa: BLE001 - drawn from a thread of rich's, where nothing could be told of it
            return Text(f"(cannot draw: {error})", style="dim")


def print_start_summary(run: RunInfo, console: Console | None = None) -> None:
    """Prints what a run is about to do: model, device, data, rewards, held-out metric, steps, folder."""
    console = console or Console(highlight=False)
    console.print(Text.assemble(("lydite", "bold yellow"), " ", (run.name, "bold")))
    _print_pairs(start_facts(run), console)
    console.print()


def print_ending(run: RunData, console: Console) -> None:
    """Prints five held-out questions before and after, the held-out metric, and where the report is."""
    pairs = five_questions(run)
    if pairs:
        console.print()
        console.print(_before_after_table(run, console.width))
    facts = [("held out", heldout_line(run)), ("report", str(report_path(run) or "")), ("folder", str(run.folder))]
    console.print()
    _print_pairs([(name, value) for name, value in facts if value], console)


def _print_pairs(pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]], console: Console) -> None:
    """Each value whole: a path that is cut, or broken in two by a frame, cannot be copied."""
    for name, value in pairs:
        console.print(Text.assemble((f"  {name:<9}", "dim"), printable(value)), soft_wrap=True)


def _bar_line(standing: Standing) -> RenderableType:
    left = standing.left
    done = standing.step >= standing.max_steps
    ending = "done" if done else "first step" if left is None else f"{clock(left)} left"
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(
        total=max(1, standing.max_steps), completed=standing.step, complete_style="yellow", finished_style="yellow"
    )
    count = Text(f"step {standing.step}/{standing.max_steps}")
    line.add_row(count, bar, Text.assemble((clock(standing.elapsed), "dim"), "  ", ending))
    return line


def _figures(standing: Standing, console: Console) -> RenderableType:
    curves = not console.options.ascii_only and console.width >= 60
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", style="dim", no_wrap=True, overflow="ellipsis", max_width=max(8, console.width // 4))
    table.add_column("first", justify="right", no_wrap=True)
    table.add_column("now", justify="right", no_wrap=True, style="bold")
    if curves:
        table.add_column("", no_wrap=True, style="yellow")
    for row in standing.rows():
        table.add_row(row.name, row.first, row.now, *([sparkline(row.course, _CURVE)] if curves else []))
    return table


def _before_after_table(run: RunData, width: int) -> Table:
    first, last = run.first_eval, run.last_eval
    steps = [one["step"] if one is not None else 0 for one in (first, last)]
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", title_justify="left")
    room = max(30, width - 6)
    # Half of the line for the question, whose end says most; the rest for two answers with their marks.
    question_width, answer_width = room * 45 // 100, room * 27 // 100
    table.add_column("held-out question", no_wrap=True, max_width=question_width)
    table.add_column(f"before (step {steps[0]})", no_wrap=True)
    table.add_column(f"after (step {steps[1]})", no_wrap=True)
    for pair in five_questions(run):
        cells = []
        for answer in (pair.before, pair.after):
            word = mark(answer.right)
            text = shorten(one_line(answer.text) or "(empty)", max(6, answer_width - len(word) - 1))
            cells.append(Text.assemble((word, _STATES[answer.right]), " ", text))
        table.add_row(Text(shorten_front(one_line(pair.question), question_width)), *cells)
    return table
