"""Advantages against a plain float64 reference, and the algebra they obey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lydite.objective import with_advantages
from lydite.objective.advantages import total_advantages
from lydite.types import Scored

Build = Callable[..., Scored]
REWARD = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 6))
GROUPS = st.lists(st.lists(REWARD, min_size=2, max_size=6), min_size=1, max_size=4)
MAYBE_GROUPS = st.lists(st.lists(st.none() | REWARD, min_size=2, max_size=6), min_size=1, max_size=4)
SCALES = st.sampled_from(["group", "batch", "none"])
CLOSE = 1e-9


def advantages_of(scored: Scored) -> list[list[float]]:
    return [[one.advantage for one in group.completions] for group in scored.groups]


def reference(rewards: Sequence[Sequence[float | None]], scale: str) -> list[list[float]]:
    """The definition once more, with torch's mean and unbiased std in float64."""
    known = [[reward for reward in group if reward is not None] for group in rewards]
    everything = torch.tensor([reward for group in known for reward in group], dtype=torch.float64)
    result = []
    for group, counted in zip(rewards, known, strict=True):
        values = torch.tensor(counted, dtype=torch.float64)
        spread = {"group": values, "batch": everything, "none": None}[scale]
        divisor = 1.0
        if spread is not None:
            divisor = 1e-4 + (spread.std().item() if len(spread) > 1 else 0.0)
        mean = values.mean().item() if counted else 0.0
        result.append([0.0 if reward is None else (reward - mean) / divisor for reward in group])
    return result


def assert_close(got: Sequence[Sequence[float]], expected: Sequence[Sequence[float]], rel: float = 1e-7) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one == pytest.approx(other, rel=rel, abs=1e-7)


@given(MAYBE_GROUPS, SCALES)
def test_totals_match_the_reference(rewards: list[list[float | None]], scale: Any) -> None:
    assert_close(total_advantages(rewards, scale), reference(rewards, scale))


@given(GROUPS, SCALES, st.integers(-1000, 1000))
def test_a_constant_added_to_a_groups_rewards_changes_nothing(rewards: list[list[float]], scale: Any, by: int) -> None:
    assume(scale != "batch")  # there the shift of one group widens the batch
    moved = [[reward + by for reward in rewards[0]], *rewards[1:]]
    assert_close(total_advantages(moved, scale), total_advantages(rewards, scale), rel=1e-6)


@given(GROUPS, st.sampled_from(["group", "batch"]), st.floats(0.5, 50))
def test_a_common_factor_matters_only_through_the_epsilon(
    rewards: list[list[float]], scale: Any, factor: float
) -> None:
    def without_epsilon(groups: list[list[float]]) -> list[list[float]]:
        flat = torch.tensor([reward for group in groups for reward in group], dtype=torch.float64)
        stds = [
            (flat if scale == "batch" else torch.tensor(group, dtype=torch.float64)).std().item() for group in groups
        ]
        plain = total_advantages(groups, scale)
        return [[one * (std + 1e-4) / std for one in group] for group, std in zip(plain, stds, strict=True)]

    assume(all(max(group) - min(group) > 1e-2 for group in rewards))
    scaled = [[reward * factor for reward in group] for group in rewards]
    assert_close(without_epsilon(scaled), without_epsilon(rewards), rel=1e-6)


@given(MAYBE_GROUPS, SCALES)
def test_each_groups_advantages_sum_to_zero(rewards: list[list[float | None]], scale: Any) -> None:
    for group in total_advantages(rewards, scale):
        assert sum(group) == pytest.approx(0.0, abs=1e-6)


@given(st.lists(st.none() | REWARD, min_size=2, max_size=6), SCALES, st.randoms())
def test_the_order_within_a_group_plays_no_part(rewards: list[float | None], scale: Any, chance: Any) -> None:
    order = list(range(len(rewards)))
    chance.shuffle(order)
    (plain,) = total_advantages([rewards], scale)
    (shuffled,) = total_advantages([[rewards[index] for index in order]], scale)
    assert shuffled == [plain[index] for index in order]


@given(GROUPS, SCALES, st.data())
def test_an_unscored_completion_gets_zero_and_moves_nobody(rewards: list[list[float]], scale: Any, data: Any) -> None:
    place = data.draw(st.integers(0, len(rewards[0])))
    plain = total_advantages(rewards, scale)
    others: list[list[float | None]] = [[*group] for group in rewards[1:]]
    joined = [[*rewards[0][:place], None, *rewards[0][place:]], *others]
    got = total_advantages(joined, scale)
    assert got[0].pop(place) == 0.0
    assert got == plain


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("reward", [0.1, 1 / 3, 1e6 + 0.1])
def test_equal_rewards_give_exactly_zero(scale: Any, reward: float) -> None:
    assert total_advantages([[reward] * 3, [reward] * 3], scale) == [[0.0] * 3, [0.0] * 3]


def test_advantages_are_filled_in_and_nothing_else_changes(scored_of: Build) -> None:
    scored = scored_of([[1.0, 0.0, None], [2.0, 2.0, 5.0]])
    filled = with_advantages(scored, scale="none", aggregate="sum_then_normalize")
    assert advantages_of(filled) == [[0.5, -0.5, 0.0], [-1.0, -1.0, 2.0]]
    assert filled.metrics == scored.metrics
    assert [one.generated for group in filled.groups for one in group.completions] == [
        one.generated for group in scored.groups for one in group.completions
    ]
    assert advantages_of(scored) == [[0.0] * 3, [0.0] * 3], "the step that was given is left as it was"


# GDPO


def gdpo(
    build: Build,
    values: Sequence[Sequence[dict[str, float | None]]],
    weights: dict[str, float],
    rewards: Sequence[Sequence[float | None]] | None = None,
) -> list[list[float]]:
    """Advantages of a step whose totals are the weighted sums, unless given."""
    if rewards is None:
        rewards = [
            [
                sum(weights[name] * value for name, value in one.items() if value is not None)
                if any(value is not None for value in one.values())
                else None
                for one in group
            ]
            for group in values
        ]
    scored = build(rewards, values=values, weights=weights)
    return advantages_of(with_advantages(scored, scale="group", aggregate="normalize_then_sum"))


def gdpo_reference(values: Sequence[Sequence[dict[str, float | None]]], weights: dict[str, float]) -> list[list[float]]:
    """Three steps of the paper on nested lists, in float64."""
    sums: list[list[float | None]] = []
    for group in values:
        row: list[float | None] = []
        for one in group:
            total = 0.0
            for name, weight in weights.items():
                column = [other[name] for other in group if other[name] is not None]
                known = torch.tensor(column, dtype=torch.float64)
                value = one[name]
                if value is not None:
                    std = known.std().item() if len(known) > 1 else 0.0
                    total += weight * (value - known.mean().item()) / (std + 1e-4)
            row.append(total if any(value is not None for value in one.values()) else None)
        sums.append(row)
    flat = torch.tensor([total for row in sums for total in row if total is not None], dtype=torch.float64)
    std = flat.std().item() if len(flat) > 1 else 0.0
    return [[0.0 if total is None else (total - flat.mean().item()) / (std + 1e-4) for total in row] for row in sums]


COMPONENTS = ("correct", "format", "length")
VALUES = st.lists(
    st.lists(st.fixed_dictionaries({name: st.none() | REWARD for name in COMPONENTS}), min_size=2, max_size=5),
    min_size=1,
    max_size=3,
)
WEIGHTS = st.fixed_dictionaries({name: st.floats(-2, 2).map(lambda w: round(w, 3)) for name in COMPONENTS})


@given(values=VALUES, weights=WEIGHTS)
def test_gdpo_matches_the_reference(scored_of: Build, values: Any, weights: Any) -> None:
    # Rewards that differ by about float64's rounding are normalised into noise by any implementation.
    columns = [[one[n] for one in group if one[n] is not None] for group in values for n in COMPONENTS]
    assume(all(not column or max(column) == min(column) or max(column) - min(column) > 1e-5 for column in columns))
    assert_close(gdpo(scored_of, values, weights), gdpo_reference(values, weights), rel=1e-5)


@given(values=VALUES, weights=WEIGHTS)
def test_gdpo_has_mean_zero_over_the_step(scored_of: Build, values: Any, weights: Any) -> None:
    flat = [one for group in gdpo(scored_of, values, weights) for one in group]
    assert sum(flat) == pytest.approx(0.0, abs=1e-6)


def test_gdpo_tells_apart_what_the_sum_does_not(scored_of: Build) -> None:
    """The paper's example: 0/1/2 rewards collapse to the same advantages under the sum."""
    weights = {"a": 1.0, "b": 1.0}
    values: list[list[dict[str, float | None]]] = [
        [{"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 0.0}],
        [{"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}],
    ]
    summed = with_advantages(
        scored_of([[1.0, 0.0], [2.0, 0.0]], values=values, weights=weights),
        scale="group",
        aggregate="sum_then_normalize",
    )
    one, both = advantages_of(summed)
    assert one[0] == pytest.approx(both[0], rel=1e-3)
    one, both = gdpo(scored_of, values, weights)
    assert both[0] > 1.5 * one[0]


def test_a_component_that_nobody_has_and_one_that_is_missing_count_for_nothing(scored_of: Build) -> None:
    weights = {"a": 1.0, "b": 1.0}
    with_b = gdpo(scored_of, [[{"a": 1.0, "b": None}, {"a": 0.0, "b": None}, {"a": 0.0}]], weights)
    without = gdpo(scored_of, [[{"a": 1.0}, {"a": 0.0}, {"a": 0.0}]], weights)
    assert with_b == without


EARNED = st.fixed_dictionaries({name: st.none() | st.integers(0, 5).map(float) for name in ("correct", "style")})


@given(earned=EARNED, gate_score=st.sampled_from([0.0, -1.0, -0.25]))
def test_gdpo_what_a_gated_completion_earned_plays_no_part(scored_of: Build, earned: Any, gate_score: float) -> None:
    weights = {"correct": 1.0, "style": 0.5, "gate": 0.0}
    others: list[dict[str, float | None]] = [
        {"correct": 1.0, "style": 1.0, "gate": 1.0},
        {"correct": 1.0, "style": 0.0, "gate": 1.0},
        {"correct": 0.0, "style": 1.0, "gate": 1.0},
    ]
    totals: list[float | None] = [1.5, 1.0, 0.5]

    def with_gated(values: dict[str, float | None]) -> list[float]:
        (group,) = gdpo(scored_of, [[*others, {**values, "gate": 0.0}]], weights, rewards=[[*totals, gate_score]])
        return group

    # A gate score of 0 is already the sum of nothing earned, None included; there a component without a
    # verdict stays one, so the comparison needs verdicts.
    assume(gate_score != 0.0 or None not in earned.values() or any(earned.values()))
    got, plain = with_gated(earned), with_gated({"correct": 0.0, "style": 0.0})
    assert got == pytest.approx(plain, rel=1e-12)
    assert got[3] < min(got[:3])


def test_gdpo_a_lower_gate_score_lowers_the_gated_completion(scored_of: Build) -> None:
    weights = {"correct": 1.0, "tidy": 0.5}
    values: list[list[dict[str, float | None]]] = [
        [{"correct": 1.0, "tidy": 1.0}, {"correct": 0.0, "tidy": 0.5}, {"correct": 1.0, "tidy": 0.0}]
    ]
    totals = [1.5, 0.25]
    by_score = [gdpo(scored_of, values, weights, rewards=[[*totals, score]])[0][2] for score in (1.0, 0.5, 0.0, -1.0)]
    assert by_score == sorted(by_score, reverse=True)
    assert len(set(by_score)) == 4


def test_gdpo_a_penalty_is_lifted_from_a_gated_completion_as_its_total_says(scored_of: Build) -> None:
    """Total 0 means no penalty either: as good as one that earned nothing and broke nothing."""
    weights = {"correct": 1.0, "typos": -0.1}
    values: list[list[dict[str, float | None]]] = [
        [{"correct": 1.0, "typos": 2.0}, {"correct": 0.0, "typos": 0.0}, {"correct": 1.0, "typos": 4.0}]
    ]
    (group,) = gdpo(scored_of, values, weights, rewards=[[0.8, 0.0, 0.0]])
    assert group[2] == pytest.approx(group[1], rel=1e-12)


def test_gdpo_a_gate_score_is_shared_by_the_size_of_the_weights_and_hurts_in_each(scored_of: Build) -> None:
    weights = {"correct": 1.0, "typos": -0.5}
    others: list[dict[str, float | None]] = [{"correct": 1.0, "typos": 2.0}, {"correct": 0.0, "typos": 1.0}]
    gated: dict[str, float | None] = {"correct": 1.0, "typos": 0.0}
    (by_gate,) = gdpo(scored_of, [[*others, gated]], weights, rewards=[[0.0, -0.5, -3.0]])
    # 1.0 * -2 and -0.5 * 2: two thirds and one third of -3
    (by_value,) = gdpo(scored_of, [[*others, {"correct": -2.0, "typos": 2.0}]], weights)
    assert by_gate == pytest.approx(by_value, rel=1e-12)


def test_gdpo_a_reward_that_judged_nobody_takes_no_share_of_a_gate_score(scored_of: Build) -> None:
    rewards: list[list[float | None]] = [[1.0, 0.5, -1.0]]
    parts = [{"correct": value, "down": None} for value in (1.0, 0.5, 1.0)]
    with_it = gdpo(scored_of, [parts], {"correct": 1.0, "down": 3.0}, rewards=rewards)
    alone = gdpo(scored_of, [[{"correct": one["correct"]} for one in parts]], {"correct": 1.0}, rewards=rewards)
    assert with_it == alone


def test_gdpo_two_gates_are_told_apart_where_nothing_judged_at_all(scored_of: Build) -> None:
    nothing: dict[str, float | None] = {"correct": None}
    (group,) = gdpo(scored_of, [[nothing, nothing]], {"correct": 1.0}, rewards=[[-1.0, -2.0]])
    assert group[1] < 0 < group[0]


def test_gdpo_a_gate_counts_where_nothing_else_judged(scored_of: Build) -> None:
    (group,) = gdpo(scored_of, [[{"correct": None}, {"correct": 1.0}]], {"correct": 1.0}, rewards=[[-1.0, 1.0]])
    assert group[0] < 0 < group[1]


@pytest.mark.parametrize(
    ("scale", "aggregate", "message"),
    [
        ("groups", "sum_then_normalize", "unknown scale 'groups'; did you mean 'group'"),
        ("group", "sum_then_normalise", "did you mean 'sum_then_normalize'"),
        ("none", "normalize_then_sum", "take scale_rewards = 'group'"),
    ],
)
def test_what_cannot_be_is_refused(scored_of: Build, scale: Any, aggregate: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_advantages(scored_of([[1.0, 0.0]]), scale=scale, aggregate=aggregate)
