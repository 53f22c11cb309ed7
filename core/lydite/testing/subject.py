"""The reward under test, asked the way a run asks: through its binding, in the trainer or in worker processes."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import cloudpickle

from lydite.config import RewardConfig, StackConfig
from lydite.contracts import Format, spec_of
from lydite.errors import ConfigError
from lydite.plugins import Offer, Plugins, load_plugins
from lydite.rewards.binding import Binding, bind
from lydite.rewards.cache import VerdictCache
from lydite.rewards.inline import InlineRunner
from lydite.rewards.judging import Judging
from lydite.rewards.recipe import Recipe, recipe_for
from lydite.rewards.requests import requests_for
from lydite.rewards.spawn import Limits
from lydite.rewards.trl_style import is_trl_style
from lydite.rewards.verdicts import settled
from lydite.rewards.worker import WorkerPool
from lydite.testing.places import Place, Placed, bare_signature
from lydite.types import Completion, Group, Sample, Status, Verdict

Where: TypeAlias = Literal["run", "worker", "thread", "event loop", "watched"]
"""`run`: where the reward declares that it runs. The others are worker processes."""
_DEFAULTS: Final = StackConfig()


@dataclass(frozen=True, slots=True)
class Ask:
    """Completions of one sample, and the options that the reward is asked with."""

    sample: Sample
    completions: tuple[Completion, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the reward said to an ask."""

    verdicts: tuple[Verdict, ...]
    """One for each completion; `passed` is never None where there is a score."""
    seconds: float = 0.0
    """Wall time, what passing it to a process takes included."""

    @property
    def verdict(self) -> Verdict:
        """The verdict on an ask of one completion."""
        return self.verdicts[0]

    @property
    def passed(self) -> bool:
        """Whether the completion passed."""
        return self.verdict.status is Status.OK and bool(self.verdict.passed)


@contextmanager
def worker_pool() -> Iterator[WorkerPool]:
    """Two worker processes for checks; each starts when it is first needed."""
    limits = Limits(_DEFAULTS.memory_mb, _DEFAULTS.cpu_seconds)
    pool = WorkerPool(workers=2, limits=limits, recycle_after=_DEFAULTS.recycle_after)
    try:
        yield pool
    finally:
        pool.close()


def find_plugins(reward: str | Callable[..., Any], *, files: Sequence[str | Path] = ()) -> tuple[Plugins, str]:
    """The plugins with the reward among them, and the name that it has there.

    A name that is not offered and has a colon in it is `module:function`, looked for in the current folder too.

    Raises:
        UnknownNameError: when nobody offers that name.
        ConfigError: when a module has no such function, or what was given is neither a name nor a function.
    """
    plugins = load_plugins(files=files, strict=False)
    if isinstance(reward, str):
        offered = reward in plugins.offers["rewards"] or reward in plugins.offers["group_rewards"]
        if offered or ":" not in reward:
            _raise_failure_of(files, plugins)
            return plugins, reward
        return plugins.with_functions({reward: _imported(reward)}), reward
    if not callable(reward):
        raise ConfigError(f"a reward is checked by its name or as a function, got {type(reward).__name__}")
    for kind in ("rewards", "group_rewards"):
        for name, offer in plugins.offers[kind].items():
            if offer.thing is reward:
                return plugins, name
    name = str(getattr(reward, "__name__", type(reward).__name__))
    return plugins.with_functions({name: reward}), name


def _raise_failure_of(files: Sequence[str | Path], plugins: Plugins) -> None:
    """A file that was named must load; what else is broken among the installed plugins is not this command's."""
    for failure in plugins.failures:
        if files and failure.owner.source == "file":
            raise ConfigError(str(failure))


def _imported(spoken: str) -> Callable[..., Any]:
    module_name, _, attribute = spoken.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{spoken}: no plugin offers this name, and the module {module_name!r} cannot be imported ({error})"
        ) from error
    thing: Any = module
    for part in attribute.split("."):
        thing = getattr(thing, part, None)
    if not callable(thing):
        from lydite.suggest import did_you_mean

        names = [name for name, one in vars(module).items() if callable(one) and not name.startswith("_")]
        raise ConfigError(f"{spoken}: the module has no function {attribute!r}{did_you_mean(attribute, names)}")
    found: Callable[..., Any] = thing
    return found


class Subject:
    """One reward, and everything that asks it."""

    def __init__(
        self,
        name: str,
        plugins: Plugins,
        pool: WorkerPool,
        *,
        format: Format,
        options: Mapping[str, Any] | None = None,
        judge: str | None = None,
        judge_options: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        pays_for: Literal["answer", "form"] | None = None,
        range: tuple[float, float] | None = None,
    ) -> None:
        self.name = name
        self.format = format
        self.options = dict(options or {})
        """Options for asks that give none of that name."""
        self._plugins = plugins
        self._pool = pool
        self._inline = InlineRunner()
        self._judge = (judge, dict(judge_options or {}))
        self._timeout = timeout
        self._bindings: dict[str, Binding] = {}
        self._judgings: dict[tuple[str, Where], Judging] = {}
        self.heard: list[Verdict] = []
        """Every verdict so far, for what must hold of all of them."""
        self.call_seconds: list[float] = []
        """Of every call made where the reward runs in a run, without the way to another process."""
        group = plugins.offers["group_rewards"].get(name)
        self.offer: Offer = group if group is not None else plugins.find("rewards", name)
        self.spec = spec_of(self.offer.thing)
        self._pays_for = pays_for or self.spec.pays_for
        self._given_range = range if self.spec.range is None else None
        self.range = self.spec.range if self.spec.range is not None else range
        """Lowest and highest score, as it declares or as the case file says; None: not known."""

    @property
    def grouped(self) -> bool:
        """Whether it judges all completions of a prompt at once."""
        return self.offer.kind == "group_rewards"

    @property
    def batched(self) -> bool:
        """Whether it is a function of TRL's kind, which judges a whole step at once."""
        return not self.grouped and is_trl_style(self.offer.thing)

    @property
    def pays_for(self) -> Literal["answer", "form", "penalty"]:
        """What it pays for; a reward whose best score is 0 or less only takes."""
        return "penalty" if self.range is not None and self.range[1] <= 0 else self._pays_for

    @property
    def seconds_per_call(self) -> float:
        """The mean over the calls so far; decides how much of a slow reward is looked at."""
        return statistics.fmean(self.call_seconds) if self.call_seconds else 0.0

    @property
    def top(self) -> float:
        """The score of a completion that passes: the end of the declared range, or 1."""
        return self.range[1] if self.range is not None else 1.0

    def binding(self, options: Mapping[str, Any]) -> Binding:
        """The binding under these options.

        Raises:
            ConfigError: when they are wrong, or it needs a judge and none is named.
        """
        merged = {**self.options, **options}
        key = json.dumps(merged, sort_keys=True, default=str)
        if key not in self._bindings:
            judge, judge_options = self._judge
            config = RewardConfig(
                use=self.name,
                options=merged,
                judge=judge,
                judge_options=judge_options,
                timeout=self._timeout,
                range=self._given_range,
            )
            self._bindings[key] = bind(self.name, config, self._plugins)
        return self._bindings[key]

    def ask(
        self, asks: Sequence[Ask], *, where: Where = "run", together: bool = False, timeout: float | None = None
    ) -> list[Heard]:
        """What the reward says to each ask, in order.

        With `together` they go in one call where the reward takes a batch, as in a step of a run.

        Raises:
            RewardError: when the reward cannot be loaded in a worker.
            ConfigError: on wrong options.
        """
        if together:
            return self._ask_together(asks, where, timeout)
        heard: list[Heard] = []
        for one in asks:
            heard += self._ask_together([one], where, timeout)
        return heard

    def close(self) -> None:
        """Ends the event loop of inline rewards; the pool is its owner's."""
        self._inline.close()

    def _ask_together(self, asks: Sequence[Ask], where: Where, timeout: float | None) -> list[Heard]:
        by_options: dict[str, list[int]] = {}
        for place, one in enumerate(asks):
            key = json.dumps([dict(one.options), sorted(one.sample.columns)], sort_keys=True, default=str)
            by_options.setdefault(key, []).append(place)
        heard: dict[int, Heard] = {}
        for places in by_options.values():
            heard.update(zip(places, self._asked([asks[place] for place in places], where, timeout), strict=True))
        return [heard[place] for place in range(len(asks))]

    def _asked(self, asks: Sequence[Ask], where: Where, timeout: float | None) -> list[Heard]:
        binding = self._placed(self.binding(asks[0].options), where)
        if timeout is not None:
            binding = replace(binding, timeout=min(timeout, binding.timeout))
        groups = [Group(one.sample, one.completions) for one in asks]
        token_ids = [[tuple(range(one.tokens)) for one in group.completions] for group in groups]
        places = [(number, index) for number, group in enumerate(groups) for index in range(len(group.completions))]
        worst = binding.range[0] if binding.range is not None else 0.0
        requests = requests_for(binding, groups, token_ids, places, worst=worst, step=1, max_steps=1)
        key = (json.dumps(dict(binding.in_worker.options), sort_keys=True, default=str), where)
        judging = self._judgings.setdefault(key, Judging(self._pool, self._inline, VerdictCache(0)))
        began = time.perf_counter()
        (judged,) = judging.judge([(binding, requests)])
        seconds = time.perf_counter() - began
        if where == "run":
            sizes = sum(len(group.completions) for group in groups)
            self.call_seconds += [sum(judged.seconds) / sizes] * sizes if binding.kind == "batch" else judged.seconds
        verdicts = {place: self._settled(binding, verdict) for place, verdict in judged.verdicts.items()}
        self.heard += verdicts.values()
        return [
            Heard(tuple(verdicts[number, index] for index in range(len(group.completions))), seconds)
            for number, group in enumerate(groups)
        ]

    def _settled(self, binding: Binding, verdict: Verdict) -> Verdict:
        slack = 1e-9 * max(1.0, abs(self.top))
        return settled(verdict, pass_at=self.top - slack, verifier=binding.offer.name, version=binding.version)

    def _placed(self, binding: Binding, where: Where) -> Binding:
        if where == "run":
            return binding
        recipe = recipe_for(binding.offer)
        if where != "worker":
            recipe = _elsewhere(binding, recipe, where)
        return replace(
            binding,
            isolation="worker",
            is_async=binding.is_async and where == "worker",
            in_worker=replace(binding.in_worker, recipe=recipe),
        )


def _elsewhere(binding: Binding, recipe: Recipe, place: Place) -> Recipe:
    placed = Placed.__new__(Placed)  # its function is loaded where it is unpickled, not here
    vars(placed).update(_recipe=recipe, _place=place, __signature__=bare_signature(binding.offer.thing))
    return Recipe("pickle", name=recipe.name, pickled=cloudpickle.dumps(placed))
