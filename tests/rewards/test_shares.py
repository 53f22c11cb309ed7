"""What each reward contributes: its share of what is paid, and its share of what tells completions apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.rewards.metrics import spread_shares, step_metrics
from lydite.types import (
    Completion,
    Component,
    Generated,
    Parsed,
    Prompt,
    Sample,
    ScoredCompletion,
    ScoredGroup,
    Verdict,
)

PROMPT = Prompt(Sample("s", "?"), "?", (1,))


def group(values: dict[str, list[float | None]], weights: dict[str, float]) -> ScoredGroup:
    size = len(next(iter(values.values())))
    rows = []
    for place in range(size):
        components = {
            name: Component(Verdict(column[place]) if column[place] is not None else Verdict.abstain("none"),
                            column[place], weights[name])
            for name, column in values.items()
        }  # fmt: skip
        rows.append(
            ScoredCompletion(
                Generated((1,), "x", "x", "stop"), Completion("x", Parsed("x")), components,
                math.fsum(one.weight * (one.value or 0.0) for one in components.values()), 0.0,
            )
        )  # fmt: skip
    return ScoredGroup(PROMPT, tuple(rows))


def test_a_reward_that_is_the_same_for_all_is_paid_and_decides_nothing() -> None:
    made = group({"right": [1, 0, 1, 0], "tidy": [1, 1, 1, 1]}, {"right": 1.0, "tidy": 0.5})
    figures = step_metrics([made])
    assert figures["rewards/right/share"] == 0.5
    assert figures["rewards/tidy/share"] == 0.5
    assert figures["rewards/right/spread_share"] == 1.0
    assert figures["rewards/tidy/spread_share"] == 0.0


def test_one_that_pulls_against_the_others_is_negative() -> None:
    made = group({"right": [1, 0], "brief": [0, 0.5]}, {"right": 1.0, "brief": 1.0})
    shares = spread_shares([made])
    assert shares["right"] == pytest.approx(2.0)
    assert shares["brief"] == pytest.approx(-1.0)


def test_nothing_told_apart_has_no_shares() -> None:
    assert spread_shares([group({"right": [1, 1]}, {"right": 1.0})]) == {}
    assert "rewards/right/spread_share" not in step_metrics([group({"right": [1, 1]}, {"right": 1.0})])


@given(
    columns=st.lists(st.lists(st.integers(-4, 4), min_size=4, max_size=4), min_size=1, max_size=3),
    weights=st.lists(st.sampled_from([0.1, 1.0, -0.5]), min_size=3, max_size=3),
)
def test_the_shares_of_the_spread_add_up_to_one(columns: list[list[int]], weights: list[float]) -> None:
    values = {str(place): [float(one) for one in column] for place, column in enumerate(columns)}
    made = group(values, {name: weights[int(name)] for name in values})  # type: ignore[arg-type]
    shares = spread_shares([made, made])
    assert not shares or math.fsum(shares.values()) == pytest.approx(1.0)
