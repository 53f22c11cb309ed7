"""The algebra of rewards: pure functions from verdicts to component values and totals.

In this order, for each reward of a group: what a verdict is worth (a timeout is worth the worst of the range,
an abstention or an error nothing at all, not even 0), rescale, clip, `only_if`; then the weighted sum, which
leaves out what has no value and never renormalises the weights; then the gates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lydite.types import Component, Status, Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """How one reward's verdicts count. The same names and meanings as in the configuration."""

    weight: float = 1.0
    weight_to: float | None = None
    schedule_steps: int = 0
    gate: bool = False
    gate_score: float = 0.0
    pass_at: float = 0.5
    clip: tuple[float, float] | None = None
    rescale: tuple[float, float] | None = None
    only_if: str | None = None
    range: tuple[float, float] | None = None
    """Declared or configured; needed by rescale, and by the timeout rule where it is known."""


@dataclass(frozen=True, slots=True)
class Composed:
    """One completion's components by name, and its total; None when nothing could score it."""

    components: Mapping[str, Component]
    reward: float | None


def weight_at(rule: Rule, step: int) -> float:
    """The weight in force at a step: `weight` at step 1, `weight_to` once `schedule_steps` more have gone by."""
    if rule.weight_to is None:
        return rule.weight
    progress = 1.0 if rule.schedule_steps < 1 else min(max(step - 1, 0) / rule.schedule_steps, 1.0)
    return (1.0 - progress) * rule.weight + progress * rule.weight_to


def rescaled(score: float, source: tuple[float, float], onto: tuple[float, float]) -> float:
    """The score carried over by the straight line that takes the ends of `source` to the ends of `onto`."""
    share = (score - source[0]) / (source[1] - source[0])
    return (1.0 - share) * onto[0] + share * onto[1]


def clipped(value: float, bounds: tuple[float, float]) -> float:
    """The value, or the bound that it lies beyond."""
    return min(max(value, bounds[0]), bounds[1])


def worst_of(rule: Rule, weight: float, scores: Sequence[float] = ()) -> float:
    """The score that earns least: the low end of the range, or the high end where more of it costs.

    Without a range: the lowest of 0 and the given scores (the highest where more of it costs).
    """
    direction = weight
    if rule.rescale is not None and rule.rescale[0] > rule.rescale[1]:
        direction = -direction
    if rule.range is not None:
        return rule.range[0] if direction >= 0 else rule.range[1]
    return min((0.0, *scores)) if direction >= 0 else max((0.0, *scores))


def did_pass(verdict: Verdict, pass_at: float) -> bool | None:
    """Whether the completion passed: what the verdict says, else its score; None when it could not be judged.

    A timeout has not passed: the completion may have provoked it.
    """
    if verdict.status is Status.TIMEOUT:
        return False
    if verdict.score is None:
        return None
    return verdict.passed if verdict.passed is not None else verdict.score >= pass_at


def dropped(verdicts: Sequence[Verdict]) -> bool:
    """True when a failure that is the prompt's fault takes the reward out of the whole group."""
    return any(one.status is not Status.OK and one.scope == "prompt" for one in verdicts)


def values_of(rule: Rule, verdicts: Sequence[Verdict], weight: float) -> list[float | None]:
    """What a group's verdicts of one reward are worth before `only_if`; None for what does not count."""
    if dropped(verdicts):
        return [None] * len(verdicts)
    scores = [one.score for one in verdicts if one.score is not None]
    values: list[float | None] = []
    for verdict in verdicts:
        score = worst_of(rule, weight, scores) if verdict.status is Status.TIMEOUT else verdict.score
        values.append(None if score is None else _shaped(rule, score))
    return values


def compose_group(
    rules: Mapping[str, Rule],
    verdicts: Mapping[str, Sequence[Verdict]],
    step: int,
) -> tuple[Composed, ...]:
    """Components and totals of one prompt's completions, in order.

    `verdicts` holds for each rule's name one verdict per completion. A completion that a gate stops has the
    lowest `gate_score` of the gates that stop it as its total; its components keep their values.
    """
    size = len(next(iter(verdicts.values()), ()))
    weights = {name: weight_at(rule, step) for name, rule in rules.items()}
    values = {name: values_of(rule, verdicts[name], weights[name]) for name, rule in rules.items()}
    passes: dict[str, list[bool | None]] = {
        name: [None] * size if dropped(verdicts[name]) else [did_pass(one, rule.pass_at) for one in verdicts[name]]
        for name, rule in rules.items()
    }
    composed = []
    for place in range(size):
        stopped_by = [name for name, rule in rules.items() if rule.gate and passes[name][place] is False]
        components = {}
        for name, rule in rules.items():
            value = values[name][place]
            if value is not None and rule.only_if is not None:
                other = passes[rule.only_if][place]
                value = None if other is None else value if other else 0.0
            components[name] = Component(verdicts[name][place], value, weights[name])
        reward = min(rules[name].gate_score for name in stopped_by) if stopped_by else total(components)
        composed.append(Composed(components, reward))
    return tuple(composed)


def total(components: Mapping[str, Component]) -> float | None:
    """The weighted sum over what has a value; None when no component that weighs anything has one."""
    counted = [one for one in components.values() if one.value is not None and one.weight != 0.0]
    if not counted:
        return None
    return math.fsum(one.weight * one.value for one in counted if one.value is not None)


def wants_fallback(verdict: Verdict, pass_at: float) -> bool:
    """Whether a cascade goes on after this verdict: it did not pass, and not because it ran out of time.

    A timeout is not handed on: a completion could provoke one to be judged by a weaker verifier.
    """
    return verdict.status is not Status.TIMEOUT and did_pass(verdict, pass_at) is not True


def fallback_places(verdicts: Sequence[Verdict], pass_at: float, share: float) -> list[int]:
    """Places that a cascade asks its fallback about: the first ones that want it, up to a share of them all."""
    wanting = [place for place, verdict in enumerate(verdicts) if wants_fallback(verdict, pass_at)]
    return wanting[: math.floor(share * len(verdicts) + 1e-9)]  # 0.29 of 100 is 29, not 28.999...


def _shaped(rule: Rule, score: float) -> float:
    if rule.rescale is not None:
        if rule.range is None:
            raise ValueError("rescale needs a range to start from")
        score = rescaled(score, rule.range, rule.rescale)
    return score if rule.clip is None else clipped(score, rule.clip)
