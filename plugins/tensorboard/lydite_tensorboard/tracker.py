"""A run as TensorBoard's event files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from lydite import RunInfo, RunResult, StepReport
from lydite.tracking import completion_columns, completion_rows, figures_of, is_due, markdown_table

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER: Final = "tensorboard"
"""Inside the run's folder, unless another one is asked for."""


class TensorBoard:
    """Writes figures, some completions, the configuration and the summary; needs no server and no network.

    `folder` is where the event files go; the run's own folder has them by default, and another one gets a folder of the
    run's name. `completions` of them are written as text at the first step, every `completions_every` steps and the
    last.
    """

    def __init__(
        self,
        *,
        folder: str | None = None,
        completions: Annotated[int, Field(ge=0)] = 8,
        completions_every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self._folder = folder
        self._completions = completions
        self._completions_every = completions_every
        self._run: RunInfo | None = None
        self._writer: SummaryWriter | None = None

    def start(self, run: RunInfo) -> None:
        """Opens the event file. What an earlier process wrote of steps after its last checkpoint is purged."""
        from tensorboardX import SummaryWriter

        folder = Path(self._folder) / run.name if self._folder is not None else Path(run.folder) / FOLDER
        self._run = run
        first = run.resumed_from + 1
        # A new file that purges from a step on takes the place of what older files say of it. Its name has the step
        # too: by its time alone a file that was begun in the same second would be written over.
        self._writer = SummaryWriter(
            str(folder),
            purge_step=first if run.resumed_from else None,
            filename_suffix=f".step-{first:06d}",
            flush_secs=1,  # it writes from a thread of its own, and what a kill can lose is this much
        )
        self._text("config", {"config": run.config, "manifest": run.manifest}, run.resumed_from)

    def step(self, report: StepReport) -> None:
        """Writes the step's figures, and completions where they are due."""
        assert self._run is not None
        assert self._writer is not None
        for name, value in figures_of(report).items():
            self._writer.add_scalar(name, value, report.step)
        if self._completions and is_due(report, self._completions_every):
            rows = completion_rows(self._run, report, self._completions)
            self._writer.add_text("completions", markdown_table(completion_columns(self._run), rows), report.step)
        if report.divergence is not None and report.heldout is not None:
            self._writer.add_text("divergence", str(report.divergence), report.step)

    def finish(self, result: RunResult) -> None:
        """Writes the summary."""
        self._text("summary", result.summary, int(result.summary.get("steps") or 0))

    def close(self) -> None:
        """Closes the event file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _text(self, name: str, content: object, step: int) -> None:
        assert self._writer is not None
        self._writer.add_text(name, f"```json\n{json.dumps(content, indent=2, ensure_ascii=False)}\n```", step)
