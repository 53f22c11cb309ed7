"""Redoing updates: from the newest checkpoint before a step, through the rollouts that the run kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from lydite.checkpoint import Checkpoint, newest_checkpoint
from lydite.configfile import read_config
from lydite.errors import ConfigError
from lydite.kept_rollouts import read_rollouts
from lydite.learner import Learner
from lydite.manifest import make_manifest
from lydite.plugins import load_plugins
from lydite.policy import Policy, check_source, load_policy
from lydite.policy.dtypes import settled
from lydite.progress import Progress
from lydite.replay.comparison import Comparison, Replay, compare
from lydite.replay.conditions import conditions, without_missing_files
from lydite.report.reader import RunData, read_run
from lydite.rollout.scripted import ScriptedEngine
from lydite.sentinels import Sentinels
from lydite.trainer import CHECKPOINTS
from lydite.types import Scored

ELSEWHERE: Final = 0.02
"""Tolerance where something is not as it was: what other kernels and orders of sums do to a figure in bfloat16.

It counts once for each step from the checkpoint on, since each is made with what the one before has learned.
"""


def replay_step(
    folder: Path,
    step: int,
    *,
    changes: Sequence[str] = (),
    tolerance: float | None = None,
    also_changed: Sequence[str] = (),
    block: Sequence[str] = (),
) -> Replay:
    """The updates of a step, made again, with every figure beside the recorded one.

    They begin from the newest checkpoint before the step, or from the adapter's fresh start where there is none, and
    go through all steps in between. `changes` are keys of the configuration to set, `model.device=cpu`, and
    `also_changed` names what else is not as it was. `tolerance` is relative; None: 0 where nothing differs from when
    the run was made, else 0.02 for the first step that is redone, 0.04 for the second, and so on. Nothing in the folder
    is changed.

    Raises:
        ConfigError: when the run kept no rollouts of the steps.
        CheckpointError: when rollouts or checkpoint cannot be read, or are not of this run.
        SentinelError, ModelError: what the updates themselves raise.
    """
    run = read_run(folder)
    stored = read_config(folder / "config.toml")
    config = settled(read_config(folder / "config.toml", overrides=changes) if changes else stored)
    search = newest_checkpoint(folder / CHECKPOINTS, before=step)
    found = search.checkpoint
    start = found.step if found is not None else 0
    kept = _kept(folder, start, step, search.damaged)
    check_source(config.model)
    usable, left_out = without_missing_files(config)
    plugins = load_plugins(allow=usable.plugins, block=block, files=usable.plugin_files)
    policy = load_policy(config.model, config.lora, plugins, config.seed)
    differs = conditions(run.manifest, make_manifest(config, plugins, policy.device), stored, config, also_changed)
    growing = ELSEWHERE if differs.changes else 0.0
    tolerances = {number: growing * (number - start) if tolerance is None else tolerance for number in kept}
    # Nothing is sampled here; what the checks ask an engine is not asked.
    learner = Learner(policy, config, Sentinels(config.sentinels, policy, ScriptedEngine(("-",))), plugins)
    progress = Progress()
    if found is not None:
        policy.load_adapter_state(found.adapter)
        learner.restore(found)
        progress = Progress.from_json(found.state["progress"])
    steps = tuple(_redone(learner, kept, progress, _recorded(run), tolerances))
    moved = (*differs.moved, *left_out, *(f"checkpoint {one}; not used" for one in search.damaged))
    gap = _weights_gap(folder, step, policy, learner)
    return Replay(str(folder), start, str(policy.device), differs.changes, steps, gap, moved)


def _kept(folder: Path, start: int, step: int, damaged: Sequence[str]) -> dict[int, Scored]:
    """The rollouts of the steps after `start`, all read before a model is loaded."""
    if step < 1:
        raise ConfigError(f"--step {step}: steps count from 1")
    try:
        return {number: read_rollouts(folder, number) for number in range(start + 1, step + 1)}
    except ConfigError as error:
        begun = f"its checkpoint of step {start}" if start else "the adapter's fresh start, for want of a checkpoint"
        told = f"; damaged: {', '.join(damaged)}" if damaged else ""
        raise ConfigError(
            f"{error}. Step {step} would be redone from {begun}{told}, and that takes the rollouts of every step "
            f"from {start + 1}"
        ) from None


def _redone(
    learner: Learner,
    kept: Mapping[int, Scored],
    progress: Progress,
    recorded: Mapping[int, Mapping[str, float]],
    tolerances: Mapping[int, float],
) -> Iterator[Comparison]:
    for number, scored in kept.items():
        figures = learner.learn(number, scored, progress)
        progress.step = number
        yield compare(number, recorded.get(number), figures, tolerances[number])


def _recorded(run: RunData) -> dict[int, Mapping[str, float]]:
    return {int(one["step"]): one for one in run.metrics}


def _weights_gap(folder: Path, step: int, policy: Policy, learner: Learner) -> float | None:
    """The largest difference between a trained weight and that of the run's own checkpoint of the step."""
    own = _checkpoint_of(folder, step)
    if own is None:
        return None
    now = {**policy.adapter_state(), **learner.state_beside()}
    then = {**own.adapter, **own.beside}
    return max(float((now[name].cpu() - tensor).abs().max()) for name, tensor in then.items())


def _checkpoint_of(folder: Path, step: int) -> Checkpoint | None:
    found = newest_checkpoint(folder / CHECKPOINTS, before=step + 1).checkpoint
    return found if found is not None and found.step == step else None
