"""Advantage estimators other than the group's mean, against their definitions, and the algebra they obey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean, pstdev, stdev
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.config import RunConfig, TrainConfig
from lydite.objective import configured_advantages, estimated_advantages, with_advantages, with_configured_advantages
from lydite.objective.advantages import Estimator
from lydite.types import Scored

REWARD = st.floats(-100, 100).map(lambda value: round(value, 6))
MAYBE_GROUPS = st.lists(st.lists(st.none() | REWARD, min_size=2, max_size=6), min_size=1, max_size=4)
PASSES = st.lists(st.lists(st.none() | st.sampled_from([0.0, 1.0]), min_size=2, max_size=6), min_size=1, max_size=3)
ESTIMATORS = [
    ("leave_one_out", "none"),
    ("leave_one_out", "batch"),
    ("reinforce_plus_plus", "batch"),
    ("reinforce_plus_plus_baseline", "batch"),
    ("pass_at_k", "group"),
]
Groups = Sequence[Sequence[float | None]]


EPSILON = 1e-4  # beside a deviation that is divided by


def known_of(groups: Groups) -> list[float]:
    return [one for group in groups for one in group if one is not None]


def whitened(groups: Groups) -> list[list[float]]:
    known = known_of(groups)
    mean, divisor = (fmean(known) if known else 0.0), EPSILON + (stdev(known) if len(known) > 1 else 0.0)
    return [[0.0 if one is None else (one - mean) / divisor for one in group] for group in groups]


def others_mean(group: Sequence[float | None], index: int) -> float | None:
    others = [one for place, one in enumerate(group) if place != index and one is not None]
    return fmean(others) if others else None


def less_their_means(rewards: Groups) -> list[list[float | None]]:
    means = [fmean([one for one in group if one is not None] or [0.0]) for group in rewards]
    return [[None if one is None else one - mean for one in group] for group, mean in zip(rewards, means, strict=True)]


def by_definition(rewards: Groups, estimator: str, scale: str) -> list[list[float]]:
    if estimator == "reinforce_plus_plus":
        return whitened(rewards)
    if estimator == "reinforce_plus_plus_baseline":
        return whitened(less_their_means(rewards))
    away: list[list[float | None]] = []
    for group in rewards:
        baselines = [others_mean(group, index) for index in range(len(group))]
        away.append(
            [None if one is None or base is None else one - base for one, base in zip(group, baselines, strict=True)]
        )
    if scale == "batch":
        return whitened(away)
    return [[0.0 if one is None else one for one in group] for group in away]


def choices_of_k(group: Sequence[float | None], k: int) -> list[float]:
    """Pass@k's advantages as the mean over every choice of k that a completion is part of, deviation of all choices."""
    known = [index for index, one in enumerate(group) if one is not None]
    if not known:
        return [0.0] * len(group)
    chosen = list(combinations(known, min(k, len(known))))
    passed = [float(any(group[index] == 1.0 for index in one)) for one in chosen]
    mean, deviation = fmean(passed), pstdev(passed)
    if deviation == 0.0:
        return [0.0] * len(group)
    return [
        0.0
        if index not in known
        else fmean([won for one, won in zip(chosen, passed, strict=True) if index in one]) / deviation
        - mean / deviation
        for index in range(len(group))
    ]


def assert_close(got: Groups, expected: Groups, rel: float = 1e-7) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one == pytest.approx(other, rel=rel, abs=1e-6)


def taken(rewards: Groups, estimator: Any, scale: Any) -> list[list[float]]:
    return estimated_advantages(rewards, estimator=estimator, scale=scale, pass_at_k=2, pass_reward=1.0)


@pytest.mark.parametrize(("estimator", "scale"), ESTIMATORS[:4])
@given(rewards=MAYBE_GROUPS)
def test_estimators_match_their_definitions(estimator: str, scale: str, rewards: Groups) -> None:
    assert_close(taken(rewards, estimator, scale), by_definition(rewards, estimator, scale))


@given(rewards=PASSES, k=st.integers(1, 7))
def test_pass_at_k_is_the_mean_over_all_choices_of_k(rewards: Groups, k: int) -> None:
    found = estimated_advantages(rewards, estimator="pass_at_k", scale="group", pass_at_k=k, pass_reward=1.0)
    assert_close(found, [choices_of_k(group, k) for group in rewards])


@given(rewards=PASSES)
def test_pass_at_one_is_grpos_with_a_populations_deviation(rewards: Groups) -> None:
    found = estimated_advantages(rewards, estimator="pass_at_k", scale="group", pass_at_k=1, pass_reward=1.0)
    for group, advantages in zip(rewards, found, strict=True):
        known = [one for one in group if one is not None]
        deviation = pstdev(known) if known else 0.0
        expected = [(one - fmean(known)) / deviation if one is not None and deviation else 0.0 for one in group]
        assert advantages == pytest.approx(expected, abs=1e-9)


def test_pass_at_k_teaches_less_from_what_is_mostly_solved_and_more_from_what_is_rarely() -> None:
    rare, even, mostly = ([1.0] * passes + [0.0] * (8 - passes) for passes in (1, 4, 7))
    found = estimated_advantages([rare, even, mostly], estimator="pass_at_k", scale="group", pass_at_k=4)
    assert found[0][0] > found[1][0] > found[2][0] == 0.0, "of a pass"
    assert found[2] == [0.0] * 8, "no choice of four can fail"
    grpo = estimated_advantages([rare, even, mostly], estimator="group", scale="group")
    assert grpo[2][-1] < -2.0, "which pushes the one failure down hard"


@given(rewards=PASSES, threshold=st.floats(-5, 5), span=st.floats(0.1, 9))
def test_a_pass_is_a_reward_that_reaches_the_threshold(rewards: Groups, threshold: float, span: float) -> None:
    moved = [[None if one is None else threshold if one else threshold - span for one in group] for group in rewards]
    found = estimated_advantages(moved, estimator="pass_at_k", scale="group", pass_at_k=2, pass_reward=threshold)
    assert found == taken(rewards, "pass_at_k", "group")


@pytest.mark.parametrize(("estimator", "scale"), ESTIMATORS)
@given(rewards=st.lists(st.none() | REWARD, min_size=2, max_size=6), chance=st.randoms(use_true_random=False))
def test_the_order_within_a_group_plays_no_part(estimator: str, scale: str, rewards: list[Any], chance: Any) -> None:
    order = list(range(len(rewards)))
    chance.shuffle(order)
    plain = taken([rewards, [1.0, 2.0]], estimator, scale)
    turned = taken([[rewards[place] for place in order], [1.0, 2.0]], estimator, scale)
    assert turned[0] == pytest.approx([plain[0][place] for place in order], rel=1e-9, abs=1e-12)
    assert turned[1] == pytest.approx(plain[1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("estimator", "scale"), ESTIMATORS[:4])
@given(rewards=MAYBE_GROUPS, by=st.integers(-1000, 1000))
def test_a_constant_added_to_every_reward_changes_nothing(estimator: str, scale: str, rewards: Groups, by: int) -> None:
    moved = [[None if one is None else one + by for one in group] for group in rewards]
    assert_close(taken(moved, estimator, scale), taken(rewards, estimator, scale), rel=1e-5)


@pytest.mark.parametrize("estimator", ["leave_one_out", "reinforce_plus_plus", "reinforce_plus_plus_baseline"])
@given(rewards=MAYBE_GROUPS, factor=st.floats(0.5, 4.0))
def test_a_common_factor_is_kept_by_rloo_and_divided_out_by_the_others(
    estimator: str, rewards: Groups, factor: float
) -> None:
    scale = "none" if estimator == "leave_one_out" else "batch"
    kept = factor
    if estimator != "leave_one_out":
        away = known_of(less_their_means(rewards) if estimator == "reinforce_plus_plus_baseline" else rewards)
        deviation = stdev(away) if len(away) > 1 else 0.0
        kept = factor * (EPSILON + deviation) / (EPSILON + factor * deviation)  # 1, but for what is beside it
    plain = taken(rewards, estimator, scale)
    larger = taken([[None if one is None else one * factor for one in group] for group in rewards], estimator, scale)
    assert_close(larger, [[one * kept for one in group] for group in plain], rel=1e-5)


@given(rewards=MAYBE_GROUPS)
def test_the_others_mean_gives_n_by_n_minus_one_of_the_groups(rewards: Groups) -> None:
    of_group = estimated_advantages(rewards, estimator="group", scale="none")
    for found, plain, group in zip(taken(rewards, "leave_one_out", "none"), of_group, rewards, strict=True):
        n = sum(one is not None for one in group)
        assert found == pytest.approx([one * n / (n - 1) if n > 1 else 0.0 for one in plain], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("estimator", "scale"), ESTIMATORS)
@pytest.mark.parametrize("reward", [0.0, 0.1, 1.0, -3.7])
def test_equal_rewards_give_exactly_zero(estimator: str, scale: str, reward: float) -> None:
    assert taken([[reward] * 3, [reward, None, reward]], estimator, scale) == [[0.0] * 3] * 2


def test_only_reinforce_plus_plus_pays_a_group_whose_rewards_are_equal() -> None:
    solved, unsolved = [1.0, 1.0], [0.0, 0.0]
    assert taken([solved, unsolved], "reinforce_plus_plus", "batch")[0][0] > 0.5
    for estimator, scale in (("leave_one_out", "batch"), ("reinforce_plus_plus_baseline", "batch")):
        assert taken([solved, unsolved], estimator, scale) == [[0.0, 0.0]] * 2


def test_a_completion_alone_with_a_reward_has_nothing_to_be_measured_against() -> None:
    assert taken([[3.0, None], [0.0, 1.0]], "leave_one_out", "none") == [[0.0, 0.0], [-1.0, 1.0]]


@pytest.mark.parametrize("estimator", get_args(Estimator))
def test_a_runs_configuration_says_which(estimator: Any, scored_of: Callable[..., Scored]) -> None:
    rewards = [[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]]
    train = TrainConfig(
        advantage_estimator=estimator,
        num_generations=3,
        per_device_train_batch_size=6,
        **({"pass_at_k": 2, "pass_reward": 0.5} if estimator == "pass_at_k" else {}),
    )
    expected = estimated_advantages(
        rewards, estimator=estimator, scale=train.scale_rewards, pass_at_k=2, pass_reward=0.5
    )
    assert configured_advantages(rewards, train) == expected
    config = RunConfig.model_validate(
        {"model": {"path": "m"}, "data": {"use": "d"}, "rewards": {"a": {"use": "a"}}, "train": train.model_dump()}
    )
    filled = with_configured_advantages(scored_of(rewards), config)
    assert [[one.advantage for one in group.completions] for group in filled.groups] == expected


def test_what_cannot_be_is_refused(scored_of: Callable[..., Scored]) -> None:
    with pytest.raises(ValueError, match="unknown estimator 'leave_one'; did you mean 'leave_one_out'"):
        taken([[1.0, 0.0]], "leave_one", "group")
    with pytest.raises(ValueError, match="leave_one_out takes scale = 'none' or 'batch', got 'group'"):
        taken([[1.0, 0.0]], "leave_one_out", "group")
    with pytest.raises(ValueError, match="advantage_estimator = 'pass_at_k' has no meaning with aggregate"):
        with_advantages(scored_of([[1.0, 0.0]]), scale="group", aggregate="normalize_then_sum", estimator="pass_at_k")
