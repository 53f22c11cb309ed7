"""A run as a run of Weights & Biases."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from lydite import ConfigError, RunInfo, RunResult, StepReport, did_you_mean
from lydite.tracking import (
    completion_columns,
    completion_rows,
    figures_of,
    flat,
    is_due,
    remember_id,
    remembered_id,
)

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger("lydite")
Mode: TypeAlias = Literal["online", "offline", "disabled"]
_MODES: tuple[Mode, ...] = ("online", "offline", "disabled")
STEP = "train/global_step"
"""The axis of every figure; what a step says again after a resume stands at the same place."""


class WeightsAndBiases:
    """Logs figures, a table of completions, the configuration with the manifest, and the summary.

    `mode`: `online` sends everything to the service while the run goes on, `offline` writes it into the run's folder,
    for `wandb sync`, and `disabled` does nothing. By default it is the environment's WANDB_MODE, and without that
    `offline`: nothing leaves the machine unless it was asked to. `project`, `entity`, `group` and `tags` are wandb's
    own, and `name` is the run's by default. `completions` of them go into a table at the first step, every
    `completions_every` steps and the last.
    """

    def __init__(
        self,
        *,
        mode: Mode | None = None,
        project: str = "lydite",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        completions: Annotated[int, Field(ge=0)] = 8,
        completions_every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self._mode: Mode = mode or _mode_of_environment()
        self._project = project
        self._entity = entity
        self._name = name
        self._group = group
        self._tags = tags
        self._completions = completions
        self._completions_every = completions_every
        self._run: RunInfo | None = None
        self._tracked: wandb.Run | None = None
        self._diverged = False
        self._failed = True  # until the run has ended well

    def start(self, run: RunInfo) -> None:
        """Opens the run, or goes on with the one that the run's folder names."""
        # Its own reports of errors go to its makers even from offline runs; nobody asked for them.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        known = remembered_id(run, "wandb")
        self._run = run
        self._tracked = wandb.init(
            project=self._project,
            entity=self._entity,
            name=self._name or run.name,
            group=self._group,
            tags=self._tags,
            id=known,
            resume="allow" if known is not None else None,
            dir=run.folder,
            mode=self._mode,
            config={**run.config, "manifest": dict(run.manifest)},
            reinit="create_new",  # one that a notebook has open stays open
            settings=wandb.Settings(console="off", silent=True, save_code=False),
        )
        remember_id(run, "wandb", self._tracked.id)
        self._tracked.define_metric("*", step_metric=STEP)
        if self._mode == "offline":
            logger.info("wandb: offline; to send it: wandb sync %s", self._tracked.settings.sync_dir)

    def step(self, report: StepReport) -> None:
        """Logs the step's figures, and completions where they are due."""
        import wandb

        assert self._run is not None
        assert self._tracked is not None
        figures: dict[str, object] = {**figures_of(report), STEP: report.step}
        if self._completions and is_due(report, self._completions_every):
            rows = completion_rows(self._run, report, self._completions)
            figures["completions"] = wandb.Table(
                columns=list(completion_columns(self._run)), data=list(map(list, rows))
            )
        self._tracked.log(figures)
        if report.divergence is not None and not self._diverged:
            self._tracked.alert("reward up, held-out down", str(report.divergence), level="WARN")
        self._diverged = report.divergence is not None

    def finish(self, result: RunResult) -> None:
        """Puts the run's summary beside wandb's own, which is the last of each figure."""
        assert self._tracked is not None
        self._tracked.summary.update({f"run/{name}": value for name, value in flat(result.summary)})
        self._failed = False

    def close(self) -> None:
        """Ends the run; as a failed one where it did not end well."""
        tracked, self._tracked = self._tracked, None
        if tracked is not None:
            tracked.finish(exit_code=int(self._failed))


def _mode_of_environment() -> Mode:
    asked = os.environ.get("WANDB_MODE") or "offline"
    for mode in _MODES:
        if asked == mode:
            return mode
    raise ConfigError(f"WANDB_MODE is one of {', '.join(_MODES)}, got {asked!r}{did_you_mean(asked, _MODES)}")
