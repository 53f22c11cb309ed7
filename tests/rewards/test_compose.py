"""The algebra against an independent float64 reference, and its laws."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.rewards.compose import (
    Rule,
    clipped,
    compose_group,
    did_pass,
    fallback_places,
    rescaled,
    weight_at,
)
from lydite.types import Status, Verdict

Case: TypeAlias = tuple[dict[str, Rule], dict[str, list[Verdict]], int]
NAMES = ("a", "b", "c")
number = st.floats(-5, 5).map(lambda one: round(one, 3))
bounds = st.tuples(st.floats(-3, 0), st.floats(0.5, 3)).map(lambda pair: (round(pair[0], 3), round(pair[1], 3)))


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    declared = draw(st.none() | bounds)
    others = [one for one in NAMES if one != name]
    return Rule(
        weight=draw(number),
        weight_to=draw(st.none() | number),
        schedule_steps=draw(st.integers(1, 20)),
        gate=draw(st.booleans()),
        gate_score=draw(number),
        pass_at=draw(number),
        clip=draw(st.none() | bounds),
        rescale=draw(st.none() | bounds | bounds.map(lambda one: one[::-1])) if declared else None,
        only_if=draw(st.none() | st.sampled_from(others)),
        range=declared,
    )


verdicts_ = st.one_of(
    st.builds(lambda score, passed: Verdict(score, passed=passed), number, st.none() | st.booleans()),
    st.builds(lambda scope: Verdict.abstain("x", scope=scope), st.sampled_from(["completion", "completion", "prompt"])),
    st.builds(lambda: Verdict.error("x")),
    st.builds(lambda: Verdict.timeout()),
)


@st.composite
def groups(draw: st.DrawFn) -> Case:
    size = draw(st.integers(1, 5))
    made = {name: draw(rules(name)) for name in NAMES}
    said = {name: draw(st.lists(verdicts_, min_size=size, max_size=size)) for name in NAMES}
    return made, said, draw(st.integers(0, 30))


def reference(made: dict[str, Rule], said: dict[str, list[Verdict]], step: int) -> tuple[np.ndarray, np.ndarray]:
    """Values [reward, completion] and totals [completion] with NaN for None, as matrices and masks in numpy."""
    names, size = list(made), len(next(iter(said.values())))
    status = np.array([[one.status.value for one in said[name]] for name in names])
    score = np.array([[math.nan if one.score is None else one.score for one in said[name]] for name in names])
    weight = np.array(
        [
            rule.weight
            if rule.weight_to is None
            else np.interp(step, [1, 1 + rule.schedule_steps], [rule.weight, rule.weight_to])
            for rule in made.values()
        ]
    )
    prompt_fault = np.array(
        [any(one.status != Status.OK and one.scope == "prompt" for one in said[name]) for name in names]
    )
    passed = np.full((len(names), size), np.nan)
    value = np.full((len(names), size), np.nan)
    for row, (name, rule) in enumerate(made.items()):
        if prompt_fault[row]:
            continue
        falling = rule.rescale is not None and rule.rescale[1] < rule.rescale[0]
        more_is_better = weight[row] * (-1 if falling else 1) >= 0
        known = score[row][~np.isnan(score[row])]
        if rule.range is not None:
            low = rule.range[0] if more_is_better else rule.range[1]
        else:
            low = np.append(known, 0.0).min() if more_is_better else np.append(known, 0.0).max()
        raw = np.where(status[row] == "timeout", low, score[row])
        if rule.rescale is not None:
            assert rule.range is not None
            slope = (rule.rescale[1] - rule.rescale[0]) / (rule.range[1] - rule.range[0])
            raw = rule.rescale[0] + slope * (raw - rule.range[0])
        value[row] = raw if rule.clip is None else np.clip(raw, *rule.clip)
        for column, verdict in enumerate(said[name]):
            if verdict.status is Status.TIMEOUT:
                passed[row, column] = 0
            elif verdict.status is Status.OK:
                passed[row, column] = (
                    verdict.passed if verdict.passed is not None else score[row, column] >= rule.pass_at
                )
    final = value.copy()
    for row, rule in enumerate(made.values()):
        if rule.only_if is not None:
            other = passed[names.index(rule.only_if)]
            final[row] = np.where(np.isnan(value[row]) | np.isnan(other), np.nan, value[row] * other)
    gate = np.array([rule.gate for rule in made.values()])
    stops = gate[:, None] & (passed == 0)
    totals = np.nansum(weight[:, None] * final, axis=0)
    unscored = np.all(np.isnan(final) | (weight[:, None] == 0), axis=0)
    totals[unscored] = np.nan
    gate_scores = np.where(stops, np.array([rule.gate_score for rule in made.values()])[:, None], np.inf).min(0)
    return final, np.where(stops.any(0), gate_scores, totals)


@given(case=groups())
def test_it_agrees_with_the_reference(case: Case) -> None:
    made, said, step = case
    values, totals = reference(made, said, step)
    composed = compose_group(made, said, step)
    for column, one in enumerate(composed):
        found = [one.components[name].value for name in made]
        mine = [math.nan if value is None else value for value in found]
        np.testing.assert_allclose(mine, values[:, column], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            math.nan if one.reward is None else one.reward, totals[column], rtol=1e-10, atol=1e-12
        )


@given(case=groups(), order=st.randoms())
def test_permuting_completions_permutes_results(case: Case, order: random.Random) -> None:
    made, said, step = case
    places = list(range(len(said["a"])))
    order.shuffle(places)
    straight = compose_group(made, said, step)
    turned = compose_group(made, {name: [said[name][one] for one in places] for name in made}, step)
    assert list(turned) == [straight[one] for one in places]


@given(case=groups(), factor=st.floats(0.125, 8))
def test_totals_are_linear_in_the_weights(case: Case, factor: float) -> None:
    made, said, step = case
    plain = {name: replace(rule, gate=False) for name, rule in made.items()}
    scaled = {
        name: replace(rule, weight=rule.weight * factor, weight_to=rule.weight_to and rule.weight_to * factor)
        for name, rule in plain.items()
    }
    for one, other in zip(compose_group(plain, said, step), compose_group(scaled, said, step), strict=True):
        assert (one.reward is None) == (other.reward is None)
        if one.reward is not None and other.reward is not None:
            assert other.reward == pytest.approx(one.reward * factor, abs=1e-9)


@given(case=groups(), place=st.integers(0, 4), name=st.sampled_from(NAMES))
def test_an_abstention_changes_no_other_completion(case: Case, place: int, name: str) -> None:
    made, said, step = case
    made = {key: replace(rule, range=rule.range or (-5, 5)) for key, rule in made.items()}  # no look at the group
    place %= len(said["a"])
    if any(one.scope == "prompt" for one in said[name]):
        return
    silent = {**said, name: [Verdict.abstain("x") if at == place else one for at, one in enumerate(said[name])]}
    before, after = compose_group(made, said, step), compose_group(made, silent, step)
    assert [one for at, one in enumerate(before) if at != place] == [one for at, one in enumerate(after) if at != place]
    assert after[place].components[name].value is None


@given(case=groups())
def test_a_gate_that_is_not_passed_dominates(case: Case) -> None:
    made, said, step = case
    made = {**made, "a": replace(made["a"], gate=True, gate_score=-9.0)}
    said = {**said, "a": [Verdict(0.0, passed=False) for _ in said["a"]]}
    assert [one.reward for one in compose_group(made, said, step)] == [-9.0] * len(said["a"])


@given(value=number, ends=bounds)
def test_clipping_twice_is_clipping_once(value: float, ends: tuple[float, float]) -> None:
    once = clipped(value, ends)
    assert clipped(once, ends) == once
    assert ends[0] <= once <= ends[1]
    if ends[0] <= value <= ends[1]:
        assert once == value


@given(source=bounds, onto=bounds, score=number)
def test_rescaling_takes_ends_to_ends_and_back(
    source: tuple[float, float], onto: tuple[float, float], score: float
) -> None:
    assert rescaled(source[0], source, onto) == onto[0]
    assert rescaled(source[1], source, onto) == onto[1]
    assert rescaled(rescaled(score, source, onto), onto, source) == pytest.approx(score, abs=1e-9)


@given(start=number, end=number, steps=st.integers(1, 50))
def test_a_schedule_starts_ends_and_stays(start: float, end: float, steps: int) -> None:
    rule = Rule(weight=start, weight_to=end, schedule_steps=steps)
    assert weight_at(rule, 0) == weight_at(rule, 1) == start
    assert weight_at(rule, steps + 1) == weight_at(rule, steps + 100) == end
    way = [weight_at(rule, step) for step in range(1, steps + 2)]
    assert np.allclose(np.diff(way), (end - start) / steps)
    assert weight_at(Rule(weight=start), 7) == start


def test_a_hang_never_pays_whatever_the_sign_of_the_weight() -> None:
    said = {"a": [Verdict(0.2), Verdict.timeout(), Verdict(0.9)]}
    for rule in (
        Rule(range=(0, 1)),
        Rule(weight=-1.0, range=(0, 1)),
        Rule(range=(0, 1), rescale=(1, 0)),
        Rule(weight=-2.0, range=(0, 1), rescale=(3, 1)),
        Rule(),
        Rule(weight=-1.0),
    ):
        rewards = [one.reward for one in compose_group({"a": rule}, said, 1)]
        assert rewards[1] == min(rewards), rule  # type: ignore[type-var]


def test_a_timeout_without_a_range_is_the_lowest_of_the_group_and_0() -> None:
    said = {"a": [Verdict(-2.0), Verdict.timeout(), Verdict(3.0)]}
    assert [one.reward for one in compose_group({"a": Rule()}, said, 1)] == [-2.0, -2.0, 3.0]
    said = {"a": [Verdict(2.0), Verdict.timeout()]}
    assert [one.reward for one in compose_group({"a": Rule()}, said, 1)] == [2.0, 0.0]


def test_weights_are_not_renormalised_where_a_component_is_missing() -> None:
    made = {"a": Rule(weight=1.0), "b": Rule(weight=3.0)}
    said = {"a": [Verdict(1.0)] * 2, "b": [Verdict(1.0), Verdict.abstain("x")]}
    assert [one.reward for one in compose_group(made, said, 1)] == [4.0, 1.0]


def test_a_prompts_fault_drops_the_component_for_the_whole_group() -> None:
    made = {"a": Rule(), "b": Rule()}
    said = {"a": [Verdict(1.0), Verdict(0.0)], "b": [Verdict(1.0), Verdict.error("gold", scope="prompt")]}
    composed = compose_group(made, said, 1)
    assert [one.reward for one in composed] == [1.0, 0.0]
    assert [one.components["b"].value for one in composed] == [None, None]
    assert composed[0].components["b"].verdict.score == 1.0  # what was said is kept


def test_nothing_scored_is_no_reward_and_a_weightless_component_does_not_change_that() -> None:
    made = {"a": Rule(), "shadow": Rule(weight=0.0)}
    said = {"a": [Verdict.abstain("x")], "shadow": [Verdict(1.0)]}
    assert compose_group(made, said, 1)[0].reward is None


def test_only_if_pays_0_without_a_pass_and_nothing_where_that_is_unknown() -> None:
    made = {"a": Rule(), "b": Rule(only_if="a")}
    said = {"a": [Verdict(1.0), Verdict(0.0), Verdict.abstain("x"), Verdict.timeout()], "b": [Verdict(0.7)] * 4}
    assert [one.components["b"].value for one in compose_group(made, said, 1)] == [0.7, 0.0, None, 0.0]


def test_passing_goes_by_the_verdict_and_then_by_the_score() -> None:
    assert did_pass(Verdict(0.0, passed=True), 0.5) is True
    assert did_pass(Verdict(0.5), 0.5) is True
    assert did_pass(Verdict(0.49), 0.5) is False
    assert did_pass(Verdict.timeout(), 0.5) is False
    assert did_pass(Verdict.error("x"), 0.5) is None


def test_a_cascade_asks_the_first_that_did_not_pass_up_to_its_share() -> None:
    said = [Verdict(0.0), Verdict(1.0), Verdict.abstain("x"), Verdict.timeout(), Verdict.error("x"), Verdict(0.0)]
    assert fallback_places(said, 0.5, 1.0) == [0, 2, 4, 5]
    assert fallback_places(said, 0.5, 0.5) == [0, 2, 4]
    assert fallback_places(said, 0.5, 0.1) == []
    assert len(fallback_places([Verdict(0.0)] * 100, 0.5, 0.29)) == 29  # though 0.29 * 100 is below 29 in floats
