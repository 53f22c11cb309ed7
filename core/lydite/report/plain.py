"""A run in a log: one plain line every few steps, and no control codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from lydite.hookspecs import hookimpl
from lydite.report.ending import five_questions, mark, report_path
from lydite.report.guard import quiet
from lydite.report.overview import heldout_line
from lydite.report.reader import read_run
from lydite.report.standing import Standing, start_facts
from lydite.report.wording import NOTHING, clock, one_line, printable, shorten, shorten_front
from lydite.types import RunInfo, RunResult, StepReport

_LINES: Final = 20  # about as many as a run of any length leaves in a log
_QUESTION: Final = 60
_ANSWER: Final = 24


class PlainDisplay:
    """Shows a run as lines of text, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.broken = False
        self._stream = stream
        self._standing = Standing(now)

    @hookimpl
    @quiet
    def lydite_start(self, run: RunInfo) -> None:
        """One line for each thing that the run is about to do."""
        self._standing.start(run)
        self._say(f"lydite {run.name}")
        for name, value in start_facts(run):
            self._say(f"  {name:<9}{value}")

    @hookimpl
    @quiet
    def lydite_step(self, report: StepReport) -> None:
        """A line at the first step, the last, every evaluation, and a few in between."""
        self._standing.add(report)
        every = max(1, report.max_steps // _LINES)
        if report.step in (1, report.max_steps) or report.heldout is not None or report.step % every == 0:
            self._say(self._line(report))
        if report.heldout is not None and self._standing.warning is not None:
            self._say(self._standing.warning)

    @hookimpl
    @quiet
    def lydite_finish(self, result: RunResult) -> None:
        """Five questions before and after, the held-out metric, and where the report is."""
        run = read_run(result.folder)
        for pair in five_questions(run):
            before, after = (
                f"{mark(answer.right)}: {shorten(one_line(answer.text) or '(empty)', _ANSWER)}"
                for answer in (pair.before, pair.after)
            )
            self._say(f"  {shorten_front(pair.question, _QUESTION)}  before {before}  after {after}")
        for name, value in (("held out", heldout_line(run)), ("report", report_path(run)), ("folder", run.folder)):
            if value:
                self._say(f"  {name:<9}{value}")

    def close(self) -> None:
        """Nothing to give back."""

    def _line(self, report: StepReport) -> str:
        left = self._standing.left
        figures = [f"{row.name} {row.now}" for row in self._standing.rows() if row.now != NOTHING]
        figures += [f"{clock(left)} left"] if left is not None and report.step < report.max_steps else []
        return f"step {report.step}/{report.max_steps}  " + "  ".join(figures)

    def _say(self, line: str) -> None:
        stream = self._stream or sys.stdout
        # A log may be in an encoding that has no arrow; a question mark there beats a run without a display.
        encoding = getattr(stream, "encoding", None) or "utf-8"
        print(printable(line).encode(encoding, "replace").decode(encoding), file=stream, flush=True)
