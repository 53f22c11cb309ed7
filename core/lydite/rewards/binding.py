"""A configured reward tied to the function that a plugin offers, with all it asks for checked beforehand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lydite.config import RewardConfig
from lydite.contracts import GIVEN, Isolation, PaysFor, RewardSpec, RewardUse, spec_of
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import Offer, Plugins
from lydite.rewards.arguments import Wants
from lydite.rewards.calls import Kind, Terms
from lydite.rewards.invoke import is_async
from lydite.rewards.recipe import Recipe, UsedReward, WorkerReward, recipe_for
from lydite.rewards.signature import is_required, options_alone, plain_str, takes, takes_any, wanted
from lydite.rewards.trl_style import RECORDED, is_trl_style
from lydite.suggest import close_to, did_you_mean

DEEPEST_USE: Final = 4
"""Rewards that call rewards that call rewards: more than this is a circle."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One reward of a stack."""

    name: str
    """Its name in the configuration."""
    offer: Offer
    kind: Kind
    given: tuple[str, ...]
    """Names of `GIVEN` that it takes."""
    columns: tuple[str, ...]
    """Columns of the data set that it cannot do without."""
    optional_columns: tuple[str, ...]
    """Columns that it takes where they are, since their parameters have a default."""
    all_columns: bool
    """A TRL-style function with `**kwargs`, which is given every column."""
    plain_answer: bool
    """Asks for a plain str as the answer: not called about completions that broke their format."""
    range: tuple[float, float] | None
    timeout: float
    """Seconds for one completion."""
    isolation: Isolation
    is_async: bool
    repeatable: bool
    """Same input, same verdict: duplicates are judged once, and verdicts are cached."""
    judge: Offer | None
    in_worker: WorkerReward
    """What a worker must know; also holds the checked options."""
    uses: Mapping[str, Binding] = field(default_factory=dict)
    """The rewards that it calls, by its own keys."""

    @property
    def wants(self) -> Wants:
        """What it asks for, without its judge and the rewards that it calls."""
        # TRL's functions find the gold answer among the columns, whether or not the data has it there.
        columns = tuple(one for one in self.columns if not (self.kind == "batch" and one == "reference"))
        return Wants(self.given, columns, self.optional_columns, self.plain_answer)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns that it or a reward that it calls cannot do without."""
        own = (*self.columns, *(column for one in self.uses.values() for column in one.needed_columns))
        return tuple(dict.fromkeys(own))

    @property
    def pays_for(self) -> PaysFor | None:
        """Whether it pays for what is said or for how it is written; None for a penalty, which pays for nothing."""
        spec = spec_of(self.offer.thing)
        return None if spec.range is not None and spec.range[1] <= 0 else spec.pays_for

    @property
    def version(self) -> str:
        """The reward's own version, or that of its distribution."""
        return spec_of(self.offer.thing).version or self.offer.owner.version

    @property
    def spoken(self) -> str:
        """The reward as messages name it: `reward 'correct' (text/exact of lydite-text 0.1.0)`."""
        return f"reward {self.name!r} ({self.offer.name} of {self.offer.owner})"

    def check_columns(self, columns: Iterable[str]) -> None:
        """Nothing, when the data set has every column that the reward needs.

        Raises:
            ConfigError: naming the reward, the column and the nearest column there is.
        """
        known = set(columns)
        for column in self.needed_columns:
            if column not in known and not (self.kind == "batch" and column == "reference"):
                names = known if self.kind == "batch" else known | set(GIVEN)
                raise ConfigError(
                    f"{self.spoken} asks for {column!r}, which is no column of the data{did_you_mean(column, names)}"
                )


def bind(name: str, config: RewardConfig, plugins: Plugins, *, depth: int = 0) -> Binding:
    """The binding of a configured reward; `depth` counts the rewards that call it.

    Raises:
        UnknownNameError: when nobody offers the reward or its judge.
        ConfigError: on a wrong option, a judge that is missing or not asked for, two different ranges, or a
            reward that it calls and that cannot be bound.
    """
    offer = _find(config.use, plugins)
    function = offer.thing
    what = f"reward {name!r} ({offer.name} of {offer.owner})"
    spec = spec_of(function)
    kind: Kind = "group" if offer.kind == "group_rewards" else "batch" if is_trl_style(function) else "completion"
    given, columns, optional = wanted(what, kind, function, config.options)
    holds_options = options_alone(function, config.options) if kind == "batch" else function
    options = check_options(what, holds_options, config.options)
    judge, judge_options = _judge(what, config, given, function, options, plugins)
    uses = _uses(what, spec, given, options, plugins, depth)
    bounds = _range(what, config, spec.range)
    recorded = tuple(one for one in RECORDED if kind == "batch" and takes(function, one))
    # What runs here needs no road to a worker, so a function that cannot be pickled may still run inline.
    recipe = Recipe("pickle") if spec.isolation == "inline" and depth == 0 else recipe_for(offer)
    judge_recipe = None if judge is None else recipe_for(judge)
    return Binding(
        name=name,
        offer=offer,
        kind=kind,
        given=given,
        columns=columns,
        optional_columns=optional,
        all_columns=kind == "batch" and takes_any(function),
        plain_answer="answer" in given and plain_str(function),
        range=bounds,
        timeout=config.timeout if config.timeout is not None else spec.timeout,
        isolation=spec.isolation,
        is_async=is_async(function),
        # A judge's reply is drawn from a model; a batch function may look at what else is in the step.
        repeatable=spec.deterministic
        and judge is None
        and kind != "batch"
        and all(one.repeatable for one in uses.values()),
        judge=judge,
        in_worker=WorkerReward(
            kind, Terms(name, bounds), recipe, options, judge_recipe, judge_options, recorded,
            {key: UsedReward(one.in_worker, one.wants, _worst(one)) for key, one in uses.items()},
        ),
        uses=uses,
    )  # fmt: skip


def _uses(
    what: str, spec: RewardSpec, given: tuple[str, ...], options: Mapping[str, Any], plugins: Plugins, depth: int
) -> dict[str, Binding]:
    """The rewards that this one calls, each bound as if a configuration named it."""
    if spec.uses is None:
        if "rewards" in given:
            raise ConfigError(f"{what} asks for `rewards` and says none; name them with @lydite.reward(uses=...)")
        return {}
    if depth >= DEEPEST_USE:
        raise ConfigError(f"{what} is called through {depth} others; rewards must not call each other in a circle")
    try:
        used = dict(spec.uses(options))
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error
    bound: dict[str, Binding] = {}
    for key, use in used.items():
        if not isinstance(use, RewardUse):
            raise ConfigError(
                f"{what} must say what it uses with lydite.RewardUse, got {type(use).__name__} for {key!r}"
            )
        try:
            one = bind(key, RewardConfig(use=use.name, options=dict(use.options)), plugins, depth=depth + 1)
        except ConfigError as error:
            raise type(error)(f"{what}, {key!r}: {error}") from error
        if one.kind != "completion":
            raise ConfigError(
                f"{what}, {key!r}: {use.name!r} judges more than one completion and cannot be called here"
            )
        bound[key] = one
    return bound


def _worst(binding: Binding) -> float:
    return 0.0 if binding.range is None else binding.range[0]


def _find(use: str, plugins: Plugins) -> Offer:
    singles, groups = plugins.offers["rewards"], plugins.offers["group_rewards"]
    if use in singles and use in groups:
        raise ConfigError(
            f"{use!r} is offered as a reward by {singles[use].owner} and as a group reward by {groups[use].owner}; "
            "one of the two plugins must be left out"
        )
    if use in groups:
        return groups[use]
    if use not in singles and close_to(use, singles) is None and close_to(use, groups) is not None:
        return plugins.find("group_rewards", use)  # raises, with the group reward that was meant
    return plugins.find("rewards", use)


def _judge(
    what: str,
    config: RewardConfig,
    given: tuple[str, ...],
    function: Callable[..., Any],
    options: Mapping[str, Any],
    plugins: Plugins,
) -> tuple[Offer | None, dict[str, Any]]:
    if "judge" not in given:
        if config.judge is not None or config.judge_options:
            raise ConfigError(f"{what} asks for no judge; leave out `judge` and `judge_options`")
        return None, {}
    if config.judge is None and not _needs_judge(function, options):
        return None, {}
    if config.judge is None:
        raise ConfigError(f"{what} asks for a judge; name one with `judge`{did_you_mean('', plugins.offers['judges'])}")
    judge = plugins.find("judges", config.judge)
    return judge, check_options(f"judge {config.judge!r} of {what}", judge.thing, config.judge_options)


def _needs_judge(function: Callable[..., Any], options: Mapping[str, Any]) -> bool:
    """A judge without a default is always needed, one with a default where the options ask for it."""
    needs = spec_of(function).needs_judge
    return is_required(inspect.signature(function).parameters["judge"]) or (needs is not None and needs(options))


def _range(what: str, config: RewardConfig, declared: tuple[float, float] | None) -> tuple[float, float] | None:
    configured = config.range
    if configured is not None and declared is not None and configured != declared:
        raise ConfigError(f"{what} declares the range {list(declared)} itself; leave out `range`")
    return declared if declared is not None else configured
