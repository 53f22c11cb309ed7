"""Redoing updates: from the newest checkpoint before a step, through the rollouts that the run kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lydite.checkpoint import Checkpoint, newest_checkpoint
from lydite.configfile import config_difference, read_config
from lydite.errors import ConfigError
from lydite.kept_rollouts import read_rollouts
from lydite.learner import Learner
from lydite.manifest import make_manifest
from lydite.plugins import load_plugins
from lydite.policy import Policy, check_source, load_policy
from lydite.progress import Progress
from lydite.replay.comparison import Comparison, Replay, compare
from lydite.report.reader import RunData, read_run
from lydite.rollout.scripted import ScriptedEngine
from lydite.sentinels import Sentinels
from lydite.trainer import CHECKPOINTS
from lydite.types import Scored

ELSEWHERE: Final = 0.02
"""Tolerance where something is not as it was: what other kernels and orders of sums do to a figure in bfloat16."""
_DECISIVE: Final = ("torch", "transformers", "peft", "bitsandbytes", "triton", "numpy")  # for the last bits of a number


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
    the run was made, else 0.02. Nothing in the folder is changed.

    Raises:
        ConfigError: when the run kept no rollouts of the steps.
        CheckpointError: when rollouts or checkpoint cannot be read, or are not of this run.
        SentinelError, ModelError: what the updates themselves raise.
    """
    run = read_run(folder)
    stored = read_config(folder / "config.toml")
    config = read_config(folder / "config.toml", overrides=changes) if changes else stored
    found = newest_checkpoint(folder / CHECKPOINTS, before=step).checkpoint
    start = found.step if found is not None else 0
    kept = _kept(folder, start, step)
    check_source(config.model)
    plugins = load_plugins(allow=config.plugins, block=block, files=config.plugin_files)
    policy = load_policy(config.model, config.lora, plugins, config.seed)
    differs = (
        *_differences(run.manifest, make_manifest(config, plugins, policy.device)),
        *config_difference(stored, config),
        *also_changed,
    )
    if tolerance is None:
        tolerance = ELSEWHERE if differs else 0.0
    # Nothing is sampled here; what the checks ask an engine is not asked.
    learner = Learner(policy, config, Sentinels(config.sentinels, policy, ScriptedEngine(("-",))), plugins)
    progress = Progress()
    if found is not None:
        policy.load_adapter_state(found.adapter)
        learner.restore(found)
        progress = Progress.from_json(found.state["progress"])
    steps = tuple(_redone(learner, kept, progress, _recorded(run), tolerance))
    return Replay(str(folder), start, str(policy.device), differs, steps, _weights_gap(folder, step, policy, learner))


def _kept(folder: Path, start: int, step: int) -> dict[int, Scored]:
    """The rollouts of the steps after `start`, all read before a model is loaded."""
    if step < 1:
        raise ConfigError(f"--step {step}: steps count from 1")
    return {number: read_rollouts(folder, number) for number in range(start + 1, step + 1)}


def _redone(
    learner: Learner,
    kept: Mapping[int, Scored],
    progress: Progress,
    recorded: Mapping[int, Mapping[str, float]],
    tolerance: float,
) -> Iterator[Comparison]:
    for number, scored in kept.items():
        figures = learner.learn(number, scored, progress)
        progress.step = number
        yield compare(number, recorded.get(number), figures, tolerance)


def _recorded(run: RunData) -> dict[int, Mapping[str, float]]:
    return {int(one["step"]): one for one in run.metrics}


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each fact that decides the last bits of a number and is not as it was."""
    for name in ("device", "processes", "lydite"):
        if then.get(name) != now.get(name):
            yield f"{name}: {then.get(name, '(none)')} -> {now.get(name, '(none)')}"
    before, after = then.get("packages", {}), now.get("packages", {})
    for name in _DECISIVE:
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, '(none)')} -> {after.get(name, '(none)')}"


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
