"""Which of a run's weights leave: those of its best evaluation, its last ones, or those of a step."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lydite.errors import ConfigError
from lydite.learned import Learned, find_learned, learned_by_run
from lydite.report.reader import RunData
from lydite.suggest import did_you_mean
from lydite.trainer import BEST, CHECKPOINTS

LAST: Final = "last"
_STEP: Final = re.compile(r"step-0*(\d+)")

logger = logging.getLogger("lydite")


@dataclass(frozen=True, slots=True)
class Weights:
    """One state of a run's weights."""

    name: str
    """`best`, `last` or `step-N`."""
    learned: Learned
    step: int | None
    """After which step they are; None where the run does not say."""


def chosen_weights(run: RunData, checkpoint: str | None) -> Weights:
    """The weights of a run: `best`, `last` or `step-N`; None: the best ones where there was an evaluation.

    Raises:
        ConfigError: when the run has no such checkpoint, or none at all.
        CheckpointError: when it is damaged.
    """
    folder = run.folder / CHECKPOINTS
    has_best = (folder / BEST).is_dir()
    name = checkpoint or (BEST if has_best else LAST)
    if name == LAST:
        learned = learned_by_run(run.folder)
        if learned.checkpoint is None:
            return Weights(name, learned, run.steps)
        if learned.checkpoint.step < (newest := max(_checkpoints(folder))):
            logger.warning(
                "the checkpoint of step %d is damaged: the last weights that %s has are those of step %d",
                newest, run.folder, learned.checkpoint.step,
            )  # fmt: skip
        return Weights(name, learned, learned.checkpoint.step)
    if name == BEST and has_best:
        step = _best_step(run)
        if step == 0:
            logger.warning(
                "no evaluation was better than the one before the first step: the best checkpoint of %s is the model "
                "as it was; --checkpoint %s takes what was trained", run.folder, LAST,
            )  # fmt: skip
        return Weights(name, find_learned(folder / BEST), step)
    there = _checkpoints(folder)
    asked = _STEP.fullmatch(name)
    if asked is not None and int(asked[1]) in there:
        return Weights(f"step-{asked[1]}", find_learned(there[int(asked[1])]), int(asked[1]))
    if not there and not has_best:
        learned_by_run(run.folder)  # says that the run has learned nothing, where that is so
    known = [*([BEST] if has_best else []), LAST, *(f"step-{step}" for step in sorted(there))]
    raise ConfigError(f"--checkpoint {name}: the run {run.folder} has no such checkpoint{did_you_mean(name, known)}")


def _checkpoints(folder: Path) -> dict[int, Path]:
    """Those of steps, whole or not."""
    return {int(match[1]): path for path in folder.glob("step-*") if (match := _STEP.fullmatch(path.name))}


def _best_step(run: RunData) -> int | None:
    """The step of the best evaluation: as the summary has it, and before there is one as the evaluations have it."""
    heldout = (run.summary or {}).get("heldout") or {}
    if isinstance(step := heldout.get("best_step"), int):
        return step
    return None if run.best_eval is None else int(run.best_eval["step"])
