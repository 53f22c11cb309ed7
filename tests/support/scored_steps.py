"""Steps that are scored already, from nested lists.

from support.scored_steps import scored_group, scored_step, step_of_lengths
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from lydite.types import (
    Completion,
    Component,
    Generated,
    Parsed,
    Prompt,
    Sample,
    Scored,
    ScoredCompletion,
    ScoredGroup,
    Verdict,
)

Rewards = Sequence[float | None]


def scored_completion(
    reward: float | None = 1.0,
    *,
    tokens: Sequence[int] = (3,),
    logps: Sequence[float] | None = None,
    finish: Literal["stop", "length"] = "stop",
    components: Mapping[str, Component] | None = None,
    advantage: float = 0.0,
    index: int = 0,
) -> ScoredCompletion:
    """A completion of these tokens that is worth `reward`."""
    return ScoredCompletion(
        Generated(tuple(tokens), "text", "text", finish, None if logps is None else tuple(logps)),
        Completion("text", Parsed("text"), tokens=len(tokens), finish_reason=finish, index=index),
        dict(components or {}),
        reward,
        advantage,
    )


def scored_group(
    sample: str, completions: Sequence[ScoredCompletion], *, prompt: Sequence[int] = (1, 2)
) -> ScoredGroup:
    """These completions behind a prompt of these tokens."""
    return ScoredGroup(Prompt(Sample(sample, "prompt"), "prompt", tuple(prompt)), tuple(completions))


def component(value: float | None, weight: float = 1.0) -> Component:
    """What a reward of this weight said of a completion; None: nothing."""
    return Component(Verdict.abstain("none") if value is None else Verdict(value), value, weight)


def scored_step(
    rewards: Sequence[Rewards],
    *,
    values: Sequence[Sequence[Mapping[str, float | None]]] | None = None,
    weights: Mapping[str, float] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
    tokens: Sequence[Sequence[Sequence[int]]] | None = None,
    finish: Sequence[Sequence[Literal["stop", "length"]]] | None = None,
    logps: Sequence[Sequence[Sequence[float] | None]] | None = None,
    advantages: Sequence[Sequence[float]] | None = None,
) -> Scored:
    """A step [P][G] of these total rewards, and whatever else of its completions is given; `values` by reward."""
    groups = []
    for p, group in enumerate(rewards):
        made = [
            scored_completion(
                reward,
                tokens=(3,) if tokens is None else tokens[p][g],
                logps=None if logps is None else logps[p][g],
                finish="stop" if finish is None else finish[p][g],
                components={
                    name: component(value, 1.0 if weights is None else weights[name])
                    for name, value in (values[p][g] if values is not None else {}).items()
                },
                advantage=0.0 if advantages is None else advantages[p][g],
                index=g,
            )
            for g, reward in enumerate(group)
        ]
        groups.append(scored_group(f"s{p}", made, prompt=(1, 2) if prompts is None else prompts[p]))
    return Scored(tuple(groups), {"reward": 0.0}, {})


def step_of_lengths(
    lengths: Sequence[Sequence[int]],
    rewards: Sequence[Rewards] | None = None,
    truncated: Collection[tuple[int, int]] = (),
    sampler: Callable[[int], Sequence[float]] | None = None,
) -> Scored:
    """Groups behind prompts of their own, with completions of so many tokens and advantages of 1, 0 and -1.

    `truncated` are the places (group, completion) of those that ran into the limit, and `sampler` gives the
    log-probabilities of a completion of that length. Rewards are 1 where none are given.
    """
    totals = [[1.0] * len(group) for group in lengths] if rewards is None else rewards
    groups = []
    for place, (group, worth) in enumerate(zip(lengths, totals, strict=True)):
        made = [
            scored_completion(
                reward,
                tokens=[5 + (7 * index + 11 * place + token) % 40 for token in range(length)],
                logps=None if sampler is None else sampler(length),
                finish="length" if (place, index) in truncated else "stop",
                advantage=0.0 if reward is None else 1.0 - index % 3,
                index=index,
            )
            for index, (length, reward) in enumerate(zip(group, worth, strict=True))
        ]
        groups.append(scored_group(str(place), made, prompt=(3 + place, 4)))
    return Scored(tuple(groups), {}, {})
