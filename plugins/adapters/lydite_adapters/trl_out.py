"""A lydite stack as reward functions of TRL's trainer: one for each component, and the weights to add them up."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from lydite.config import RunConfig
from lydite.errors import ConfigError, DataError
from lydite.plugins import load_plugins
from lydite.prepare import make_format
from lydite.rescore import read_stack
from lydite.rewards import RewardStack, build_stack
from lydite.rewards.binding import bind
from lydite.types import Generated, Message, Prompt, Rollout, Sample, ScoredCompletion

_FROM_TRL = ("trainer_state", "log_extra", "log_metric", "environments")
"""What TRL passes beside the columns of the data set."""


class TrlRewards(NamedTuple):
    """What `GRPOTrainer(reward_funcs=..., args=GRPOConfig(reward_weights=...))` takes. Close it after training."""

    functions: list[TrlReward]
    weights: list[float]

    def close(self) -> None:
        """Ends the worker processes; a call after that starts new ones."""
        for function in self.functions:
            function.close()

    def __enter__(self) -> TrlRewards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def trl_reward_funcs(
    stack: str | Path | Mapping[str, Any] | RunConfig,
    *,
    reference: str = "reference",
    max_completion_length: int | None = None,
) -> TrlRewards:
    """The components of a stack as functions that TRL calls, in the order of the stack, and their weights.

    TRL's weighted sum of what they give is the stack's total: a component that has no value gives None; what a
    gate stops gets its gate score, shared among the components; a component whose weight moves on a schedule
    gives weight times value, and has weight 1 here. `reference` names the column with the gold answer. With
    `max_completion_length`, completions of that many tokens count as truncated.

    Raises:
        LyditeError: on whatever is wrong with the stack; see `lydite.errors`.
    """
    config = stack if isinstance(stack, RunConfig) else read_stack(stack)
    if config.stack.aggregate != "sum_then_normalize":
        raise ConfigError(
            'stack.aggregate = "normalize_then_sum" is the trainer\'s to do: leave it out, and give GRPOConfig '
            'multi_objective_aggregation = "normalize_then_sum"'
        )
    settings = json.dumps([config.model_dump(mode="json"), reference, max_completion_length])
    host = _host(settings)
    weights = host.weights
    if not any(weights.values()):
        raise ConfigError("every component of the stack weighs 0, so that TRL's sum would always be 0")
    functions = [TrlReward(settings, name) for name in weights]
    return TrlRewards(functions, list(weights.values()))


class TrlReward:
    """One component of a stack. TRL logs it as `rewards/{name}/mean`; it can be pickled."""

    def __init__(self, settings: str, name: str) -> None:
        self.__name__ = name
        self._settings = settings
        self._shared: _Host | None = _host(settings)

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        """What the component gives for each completion; None where it has no value.

        Raises:
            DataError: when a column that the stack needs is missing.
            RewardError: when errors exceed the share that the stack allows.
        """
        scored = self._host.score(prompts, completions, completion_ids, columns)
        log_extra = columns.get("log_extra")
        if log_extra is not None:
            log_extra(f"{self.__name__}_reason", [one.components[self.__name__].verdict.reason for one in scored])
        return [self._host.value(self.__name__, one) for one in scored]

    def close(self) -> None:
        """Ends the worker processes of the stack that this is a component of."""
        if self._shared is not None:
            self._shared.close()

    @property
    def _host(self) -> _Host:
        if self._shared is None:
            self._shared = _host(self._settings)
        return self._shared

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.__name__, "settings": self._settings}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__name__, self._settings, self._shared = state["name"], state["settings"], None

    def __repr__(self) -> str:
        return f"<lydite reward {self.__name__!r} for TRL>"


class _Host:
    """The stack itself, shared by its components: the first that is called in a step scores for all."""

    def __init__(self, settings: str) -> None:
        content, self._reference, self._limit = json.loads(settings)
        self._config = RunConfig.model_validate(content)
        self._plugins = load_plugins(allow=self._config.plugins, files=self._config.plugin_files)
        self._format = make_format(self._config.format, self._plugins)
        self._stack: RewardStack = build_stack(self._config, self._plugins, self._format)
        bindings = [bind(name, one, self._plugins) for name, one in self._config.rewards.items()]
        self._compares = any("reference" in (*one.given, *one.columns) for one in bindings)
        self._asked: tuple[int, list[Any], list[Any]] | None = None
        self._scored: list[ScoredCompletion] = []

    @property
    def weights(self) -> dict[str, float]:
        """By component: its weight in TRL's sum."""
        own: dict[str, float] = {name: one.weight for name, one in self._config.rewards.items()}
        if self._config.length is not None:
            own["length"] = self._config.length.weight
        return {name: 1.0 if name in self._scheduled else weight for name, weight in own.items()}

    @property
    def _scheduled(self) -> frozenset[str]:
        return frozenset(name for name, one in self._config.rewards.items() if one.weight_to is not None)

    def close(self) -> None:
        """Ends the worker processes."""
        self._stack.close()

    def score(
        self, prompts: Sequence[Any], completions: Sequence[Any], ids: Sequence[Any], columns: Mapping[str, Any]
    ) -> list[ScoredCompletion]:
        """Every completion with its components, in order."""
        state = columns.get("trainer_state")
        step = int(getattr(state, "global_step", 0)) + 1
        asked = (step, list(prompts), list(completions))
        if asked != self._asked:
            own = {name: values for name, values in columns.items() if name not in _FROM_TRL}
            rollouts = self._rollouts(prompts, completions, ids, own)
            self._stack.check_columns(own)
            groups = self._stack.score(rollouts, step).groups
            self._scored = [one for group in groups for one in group.completions]
            self._asked = asked
        return self._scored

    def value(self, name: str, one: ScoredCompletion) -> float | None:
        """What the component adds to the sum, before its weight."""
        if one.reward is None:
            return None
        component = one.components[name]
        value = _gate_share(one, component.weight) if _is_gated(one) and component.weight else component.value
        if name in self._scheduled and value is not None:
            return value * component.weight
        return value

    def _rollouts(
        self, prompts: Sequence[Any], completions: Sequence[Any], ids: Sequence[Any], columns: Mapping[str, Any]
    ) -> list[Rollout]:
        if self._compares and self._reference not in columns:
            raise DataError(
                f"the stack compares with a gold answer, and the data set has no column {self._reference!r}; name "
                f"the one that holds it: trl_reward_funcs(..., reference=...); there are {sorted(columns)}"
            )
        rollouts = []
        for number, (_, places) in enumerate(groupby(range(len(prompts)), key=lambda one: _key(prompts[one]))):
            members = list(places)
            first = members[0]
            row = {name: values[first] for name, values in columns.items() if _is_column(values, len(prompts))}
            prompt = _prompt(prompts[first])
            sample = Sample(str(row.get("id", number)), prompt, row.get(self._reference), row)
            generated = tuple(self._generated(completions[one], ids[one] if ids is not None else ()) for one in members)
            rollouts.append(Rollout(Prompt(sample, _key(prompts[first]), ()), generated))
        return rollouts

    def _generated(self, completion: Any, ids: Sequence[int]) -> Generated:
        text = completion if isinstance(completion, str) else "".join(str(one["content"]) for one in completion)
        cut = self._limit is not None and len(ids) >= self._limit
        return Generated(tuple(ids), text, text, "length" if cut else "stop")


def _is_gated(one: ScoredCompletion) -> bool:
    """Whether a gate set the total, so that it is not what the components add up to."""
    terms = [part.weight * part.value for part in one.components.values() if part.value is not None]
    return one.reward is not None and not math.isclose(one.reward, math.fsum(terms), rel_tol=1e-9, abs_tol=1e-9)


def _gate_share(one: ScoredCompletion, weight: float) -> float:
    """What a component of that weight gives, so that the weighted sum of all of them is the gate's score."""
    assert one.reward is not None
    size = math.fsum(abs(part.weight) for part in one.components.values())
    return one.reward * math.copysign(1.0, weight) / size


def _prompt(given: Any) -> str | tuple[Message, ...]:
    if isinstance(given, str):
        return given
    return tuple(Message(role=str(one["role"]), content=str(one["content"])) for one in given)


def _key(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True, default=str)


def _is_column(values: Any, size: int) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) == size


_hosts: WeakValueDictionary[str, _Host] = WeakValueDictionary()


def _host(settings: str) -> _Host:
    """The stack of these settings, one in each process."""
    host = _hosts.get(settings)
    if host is None:
        host = _hosts[settings] = _Host(settings)
    return host
