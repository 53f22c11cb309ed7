"""What a plugin may offer: rewards, formats, data sets, judges, environments, algorithms, observers, model families.

A reward is a plain function. What it names positionally it is given (see `GIVEN`); any other positional
name is a column of the data set; its keyword-only parameters are its options, type-checked when the
configuration is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from lydite.types import (
    Completion,
    FormatError,
    Message,
    Observation,
    Parsed,
    RunInfo,
    RunResult,
    Sample,
    StepReport,
    Verdict,
)

Judged: TypeAlias = float | int | bool | Verdict | None
RewardFn: TypeAlias = Callable[..., Judged | Awaitable[Judged]]
"""Judges one completion. None means "cannot judge", never 0."""
GroupRewardFn: TypeAlias = Callable[..., Sequence[Judged] | Awaitable[Sequence[Judged]]]
"""Judges all completions of one prompt; returns one judgement for each, in order."""
DatasetFn: TypeAlias = Callable[..., Iterable[Sample]]
"""Keyword-only options in, samples out; may be a generator."""
JudgeFn: TypeAlias = Callable[..., Awaitable[str]]
"""`async judge(messages, *, options) -> reply`: a model that is asked for an opinion."""

GIVEN: Final[Mapping[str, str]] = {
    "completion": "the completion: text, parsed answer, tokens, finish reason",
    "sample": "the sample that asked: prompt, reference, columns",
    "prompt": "the sample's prompt, text or messages",
    "reference": "the sample's gold answer",
    "answer": "the parsed answer; a completion that broke its format is not shown to rewards that ask for a plain str",
    "reasoning": "the parsed reasoning, or an empty string",
    "text": "the completion's text without special tokens",
    "group": "the sample and all completions of it",
    "judge": "the judge that the configuration names: await judge(messages) gives its reply",
    "rewards": "the rewards that this one `uses`: await rewards(key, completion, sample) gives a verdict",
}
"""Names a reward may take positionally, and what each stands for."""


@dataclass(frozen=True, slots=True)
class RewardUse:
    """A reward that another one calls by name, with its options, as `[rewards.x]` would."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


UsesFn: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, RewardUse]]
"""The options of a reward in, the rewards that it calls out, under keys of its own."""
NeedsJudgeFn: TypeAlias = Callable[[Mapping[str, Any]], bool]
CallReward: TypeAlias = Callable[[str, Completion, Sample], Awaitable[Verdict]]
"""`await rewards(key, completion, sample)`: the verdict of the reward under that key. Exceptions become verdicts."""
Isolation: TypeAlias = Literal["worker", "inline"]
PaysFor: TypeAlias = Literal["answer", "form"]
_SPEC_ATTRIBUTE = "__lydite_reward__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """What a reward promises about itself."""

    range: tuple[float, float] | None = None
    """Lowest and highest score; a score outside it is an error. None: not promised, not checked."""
    isolation: Isolation = "worker"
    """`worker`: a killable process with deadline and limits. `inline`: cheap pure string work, in the trainer."""
    timeout: float = 10.0
    """Seconds for one completion, unless the configuration says otherwise."""
    deterministic: bool = True
    """Same input, same verdict; only such verdicts are cached."""
    version: str = ""
    """Part of the cache's key; empty stands for the version of the distribution."""
    pays_for: PaysFor = "answer"
    """`answer`: what is said. `form`: how it is written, so that a well-formed wrong answer may earn it all."""
    uses: UsesFn | None = None
    """Which other rewards it calls, decided by its options when the configuration is read."""
    needs_judge: NeedsJudgeFn | None = None
    """Whether these options need a judge, for a reward whose `judge` may be left out."""


def reward(
    *,
    range: tuple[float, float] | None = None,
    isolation: Isolation = "worker",
    timeout: float = 10.0,
    deterministic: bool = True,
    version: str = "",
    pays_for: PaysFor = "answer",
    uses: UsesFn | None = None,
    needs_judge: NeedsJudgeFn | None = None,
) -> Callable[[_Function], _Function]:
    """A decorator that attaches a `RewardSpec`; the function stays callable as it was.

    `uses` raises ValueError where the options name a file that is missing or wrong: the message becomes the
    configuration's error, before anything runs.

    Raises:
        ValueError: when the range is empty or the timeout is not positive.
    """
    if range is not None and not range[0] < range[1]:
        raise ValueError(f"a reward's range goes from low to high, got {range}")
    if timeout <= 0:
        raise ValueError(f"a reward's timeout is a positive number of seconds, got {timeout}")
    spec = RewardSpec(range, isolation, timeout, deterministic, version, pays_for, uses, needs_judge)

    def attach(function: _Function) -> _Function:
        setattr(function, _SPEC_ATTRIBUTE, spec)
        return function

    return attach


def spec_of(function: Callable[..., Any]) -> RewardSpec:
    """What the function promised through `@lydite.reward`, or the defaults."""
    spec = getattr(function, _SPEC_ATTRIBUTE, None)
    return spec if isinstance(spec, RewardSpec) else RewardSpec()


@runtime_checkable
class Format(Protocol):
    """How an answer is written: told to the model, and taken apart once for all verifiers."""

    @property
    def instructions(self) -> str:
        """One paragraph for the prompt; may be empty."""
        ...

    def parse(self, text: str) -> Parsed | FormatError:
        """The reasoning and the answer, or why the text breaks the format. Never raises."""
        ...


FormatFactory: TypeAlias = Callable[..., Format]
"""Keyword-only options in, a format out."""


@runtime_checkable
class Environment(Protocol):
    """The other side of one conversation: each completion has an instance of its own.

    It may have `tools`, see `HasTools`, and a method `close()`, called when its episode is over. What it raises ends
    the episode as an error of that completion.
    """

    def reset(self, sample: Sample) -> Sequence[Message]:
        """What is said behind the sample's own prompt and before the model's first turn; often nothing.

        It depends on the sample alone, so that all completions of a group answer one prompt: chance is seeded
        with the sample's id.
        """
        ...

    def step(self, reply: str) -> Observation:
        """What comes back to a turn of the model, given without special tokens."""
        ...


@runtime_checkable
class HasTools(Protocol):
    """An environment that says which tools the model may call."""

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """JSON schemas as chat templates take them: `{"type": "function", "function": {"name": ..., ...}}`."""
        ...


EnvironmentFactory: TypeAlias = Callable[..., Environment]
"""Keyword-only options in, a new environment out; a class will do."""


@runtime_checkable
class Observer(Protocol):
    """What is told of a run as it goes on: a tracker. One is made for each run, and does nothing before `start`."""

    def start(self, run: RunInfo) -> None:
        """Called once, when the model is loaded. What it raises stops the run before its first step."""
        ...

    def step(self, report: StepReport) -> None:
        """Called after every step. What it raises is a warning: a run outlives a tracker's outage."""
        ...

    def finish(self, result: RunResult) -> None:
        """Called once, when the run has ended and its summary is written."""
        ...

    def close(self) -> None:
        """Called last of all once `start` was called, however the run ended: without `finish` where it failed."""
        ...


ObserverFactory: TypeAlias = Callable[..., Observer]
"""Keyword-only options in, an observer out; a class will do."""


AlgorithmFactory: TypeAlias = Callable[..., Any]
"""Takes a policy and a run's configuration, then keyword-only options, and gives a `lydite.algorithms.Algorithm`."""


@dataclass(frozen=True, slots=True)
class Family:
    """What lydite must know of a model architecture."""

    name: str
    lora_targets: tuple[str, ...]
    """Names of the linear layers that LoRA adapts by default."""
    chat_template: str | None = None
    """A Jinja template for base models whose tokenizer has none."""
    stop_tokens: tuple[str, ...] = ()
    """Tokens besides the tokenizer's own end token that end a turn; those the vocabulary lacks are ignored."""
    think_tokens: tuple[str, str] | None = None
    """Opening and closing mark of the model's reasoning, where it has them."""


JudgeMessages: TypeAlias = Sequence[Message]
