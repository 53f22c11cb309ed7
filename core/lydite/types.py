"""The nouns of lydite: what flows from a data set, through a model and its judges, to an update.

Nothing here imports torch, so that a verifier can be written, tested and listed without it.

Shapes are named once and used everywhere: P prompts in a step, G completions of one prompt (a
group), B = P * G completions in a step, T tokens of a completion, V vocabulary, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lydite.conversation import Ended as Ended
from lydite.conversation import Episode as Episode
from lydite.conversation import Message as Message
from lydite.conversation import Observation as Observation
from lydite.verdict import Evidence as Evidence
from lydite.verdict import Status as Status
from lydite.verdict import Verdict as Verdict


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a data set: what is asked, and what a verifier may compare with."""

    id: str
    """Unique within its data set, and stable from run to run."""
    prompt: str | tuple[Message, ...]
    """Plain text, or the messages of a conversation."""
    reference: Any = None
    """The gold answer in JSON terms, or None when the task has none."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Every other column of the row; a reward may ask for one by its name."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A completion that kept to its format, taken apart once for every verifier."""

    answer: str
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class FormatError:
    """A completion that broke its format: a value, not an exception, since models do this all the time."""

    reason: str
    """Short code from a closed set of the format, for example `answer.missing`."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the model, as a verifier sees it."""

    text: str
    """Decoded without special tokens; of an episode, the model's last turn."""
    parsed: Parsed | FormatError
    raw: str = ""
    """Decoded with special tokens; of an episode, everything after the prompt."""
    tokens: int = 0
    """Length in tokens that the model sampled, the end token included."""
    finish_reason: Literal["stop", "length"] = "stop"
    index: int = 0
    """Place in its group, from 0."""
    episode: Episode | None = None
    """What happened in its environment; None in a run without one."""

    @property
    def turns(self) -> tuple[Message, ...]:
        """All that was said after the prompt: the answer alone, or an episode's messages."""
        return ({"role": "assistant", "content": self.text},) if self.episode is None else self.episode.turns

    @property
    def answer(self) -> str | None:
        """The parsed answer, or None when the completion broke its format."""
        return self.parsed.answer if isinstance(self.parsed, Parsed) else None

    @property
    def truncated(self) -> bool:
        """True when the model ran into the token limit."""
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True)
class Group:
    """All G completions of one prompt, together with the sample that asked."""

    sample: Sample
    completions: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A sample made ready for a model: its text under the chat template, and the tokens of that text."""

    sample: Sample
    text: str
    token_ids: tuple[int, ...]
    opening: tuple[Message, ...] = ()
    """What an environment said before the model's first turn; it is part of text and tokens."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens of one completion as an engine sampled them, the end token included.

    Of an episode, all turns end to end, with the tokens that its environment put between them.
    """

    token_ids: tuple[int, ...]
    text: str
    """Without special tokens; of an episode, the model's last turn."""
    raw: str
    finish_reason: Literal["stop", "length"]
    logps: tuple[float, ...] | None = None
    """Log-probability of each token under the sampling policy, where the engine gives it; 0 for inserted tokens."""
    trained: tuple[bool, ...] | None = None
    """True for the tokens that the model itself said, the only ones that are trained on; None: all of them."""
    episode: Episode | None = None
    """What happened in its environment; None in a run without one."""

    @property
    def sampled(self) -> int:
        """How many of the tokens the model itself said."""
        return len(self.token_ids) if self.trained is None else sum(self.trained)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One prompt and the G completions that an engine sampled for it."""

    prompt: Prompt
    completions: tuple[Generated, ...]


@dataclass(frozen=True, slots=True)
class Component:
    """What one named reward said of one completion, before and after its own shaping."""

    verdict: Verdict
    value: float | None
    """The verdict's score after clip, rescale, shaping and the timeout rule; None where it does not count."""
    weight: float
    """The weight in force at this step."""


@dataclass(frozen=True, slots=True)
class ScoredCompletion:
    """A completion with every reward's verdict, its total reward and its advantage."""

    generated: Generated
    completion: Completion
    components: Mapping[str, Component]
    reward: float | None
    """Weighted total, or None when nothing could score it."""
    advantage: float
    """0 for a completion that nothing could score."""


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """A prompt's scored completions."""

    prompt: Prompt
    completions: tuple[ScoredCompletion, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """A step's rollouts with their rewards, and what the stack has to say about the step."""

    groups: tuple[ScoredGroup, ...]
    metrics: Mapping[str, float]
    """Deterministic figures under TRL's names: reward, reward_std, rewards/{name}/mean, ..."""
    timings: Mapping[str, float]
    """Seconds and counts that differ from run to run, kept out of the metrics file."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What observers are told after each step."""

    step: int
    """From 1 to `max_steps`."""
    max_steps: int
    metrics: Mapping[str, float]
    timings: Mapping[str, float]
    scored: Scored | None
    heldout: EvalReport | None = None
    """The held-out evaluation, at the steps that had one."""
    divergence: Divergence | None = None
    """How the reward and the held-out metric have parted, at every step while they have."""


@dataclass(frozen=True, slots=True)
class EvalReport:
    """One held-out evaluation: greedy answers judged by their own reward, apart from the training stack."""

    step: int
    metric: str
    value: float
    n: int
    answers: tuple[ScoredGroup, ...]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Reward up and held-out metric down, since the metric was at its best: a reward may be exploited."""

    step: int
    """Of the evaluation that shows it."""
    best_step: int
    """Of the best evaluation."""
    metric: str
    best: float
    """The held-out metric at its best, and at this evaluation."""
    value: float
    reward_then: float
    """The training reward around the best evaluation, and of the latest steps."""
    reward_now: float
    worse: int
    """Held-out prompts that scored less than at the best, and more."""
    better: int
    chance: float
    """That so many or more of those got worse by chance."""

    def __str__(self) -> str:
        return (
            f"since step {self.best_step} the training reward rose from {self.reward_then:.3g} to {self.reward_now:.3g}"
            f", while held-out {self.metric} fell from {self.best:.3g} to {self.value:.3g}: of the "
            f"{self.worse + self.better} questions whose score changed, {self.worse} got worse"
        )


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What observers are told when a run starts."""

    name: str
    folder: str
    max_steps: int
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    resumed_from: int = 0
    """The step a resumed run goes on from; 0 for a new run."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to; the same numbers as `summary.json`."""

    folder: str
    summary: Mapping[str, Any]
