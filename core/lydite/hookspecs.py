"""The hooks that a plugin may implement, in the order in which a run calls them.

A distribution names its module in its `pyproject.toml`:

    [project.entry-points.lydite]
    cites = "lydite_cites"

Offers return `{name: thing}`; a name offered twice is an error that names both distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pluggy

from lydite.contracts import (
    AlgorithmFactory,
    DatasetFn,
    EnvironmentFactory,
    Family,
    FormatFactory,
    GroupRewardFn,
    JudgeFn,
    ObserverFactory,
    RewardFn,
)
from lydite.types import RunInfo, RunResult, StepReport

NAMESPACE: Final = "lydite"
"""Both the name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


# Offers: asked once, when the plugins are loaded.


@hookspec
def lydite_rewards() -> Mapping[str, RewardFn]:  # type: ignore[empty-body]
    """Rewards that judge one completion, by name.

    :returns: the functions under the names that a configuration uses, such as `text/exact`. A function
        written for TRL, `f(prompts, completions, **columns) -> list`, is taken as it is.
    """


@hookspec
def lydite_group_rewards() -> Mapping[str, GroupRewardFn]:  # type: ignore[empty-body]
    """Rewards that judge all completions of one prompt together, by name.

    :returns: functions that return one judgement for each completion of the group, in order.
    """


@hookspec
def lydite_formats() -> Mapping[str, FormatFactory]:  # type: ignore[empty-body]
    """Formats of an answer, by name.

    :returns: callables with keyword-only options that give a `Format`; a class will do.
    """


@hookspec
def lydite_datasets() -> Mapping[str, DatasetFn]:  # type: ignore[empty-body]
    """Sources of samples, by name.

    :returns: callables with keyword-only options that give samples, in an order that depends on the
        options alone.
    """


@hookspec
def lydite_judges() -> Mapping[str, JudgeFn]:  # type: ignore[empty-body]
    """Model judges, by name, for rewards that name `judge` among their parameters.

    :returns: async callables that take messages, then keyword-only options, and give the reply's text.
        They raise when the judge cannot be reached: an outage is never an opinion.
    """


@hookspec
def lydite_environments() -> Mapping[str, EnvironmentFactory]:  # type: ignore[empty-body]
    """Environments that the model plays or works in over several turns, by name.

    :returns: callables with keyword-only options that give a new `Environment`; a class will do.
    """


@hookspec
def lydite_observers() -> Mapping[str, ObserverFactory]:  # type: ignore[empty-body]
    """Observers that a run makes for itself, such as trackers, by name.

    Every one that an allowed plugin offers is made; `[observers.NAME]` of a configuration holds its options.

    :returns: callables with keyword-only options that give an `Observer`; a class will do.
    """


@hookspec
def lydite_algorithms() -> Mapping[str, AlgorithmFactory]:  # type: ignore[empty-body]
    """Algorithms, which say what a run's updates make of scored completions, by name.

    :returns: callables that take the policy and the run's configuration, then keyword-only options, and give a
        `lydite.algorithms.Algorithm`; a class will do. Who imports torch does it in there, not with the module.
    """


@hookspec(firstresult=True)
def lydite_family(model_type: str) -> Family | None:
    """What lydite must know of a model architecture. Stops at the first non-None result.

    :param model_type: `model_type` of the model's configuration, for example `llama`.
    :returns: the family, or None when this plugin does not know the architecture.
    """


# Observers: told what happens in a run. What they raise stops the run.


@hookspec
def lydite_start(run: RunInfo) -> None:
    """Called once, when the model is loaded and before the first step.

    :param run: name, folder, resolved configuration and manifest of the run.
    """


@hookspec
def lydite_step(report: StepReport) -> None:
    """Called after every step, when its numbers are on disk.

    :param report: metrics, timings, scored completions, and the held-out evaluation if there was one.
    """


@hookspec
def lydite_finish(result: RunResult) -> None:
    """Called once, when the run has ended and its summary and report are written.

    :param result: the run's folder and summary.
    """
