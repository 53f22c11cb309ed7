"""Generalised advantages against a loop over one completion, and against what they must be at the ends of lambda."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lydite.objective.gae import generalized_advantages, whitened

numbers = st.floats(-4, 4, width=32)


@st.composite
def completions(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, values and a mask with holes, each [B, T]; what is masked holds numbers too."""
    rows, length = draw(st.integers(1, 3)), draw(st.integers(1, 6))

    def table(cell: st.SearchStrategy[float | bool]) -> Tensor:
        return torch.tensor([[draw(cell) for _ in range(length)] for _ in range(rows)])

    return table(numbers), table(numbers), table(st.booleans())


def by_hand(rewards: list[float], values: list[float], gamma: float, lam: float, tail: float = 0.0) -> list[float]:
    """The sum of (gamma lam)^k delta_(t+k), written out; `tail` is the value behind the last."""
    following = [*values[1:], tail][: len(values)]
    deltas = [r + gamma * later - v for r, later, v in zip(rewards, following, values, strict=True)]
    return [sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[start:])) for start in range(len(deltas))]


@given(completions(), st.floats(0.1, 1), st.floats(0, 1))
def test_each_completion_is_what_a_loop_over_its_own_tokens_gives(
    given_: tuple[Tensor, Tensor, Tensor], gamma: float, lam: float
) -> None:
    rewards, values, mask = given_
    found = generalized_advantages(rewards, values, mask, gamma=gamma, lam=lam)
    for row in range(len(mask)):
        kept = mask[row]
        expected = by_hand(rewards[row][kept].tolist(), values[row][kept].tolist(), gamma, lam)
        assert found.advantages[row][kept].tolist() == pytest.approx(expected, abs=1e-4)
        returns = [a + v for a, v in zip(expected, values[row][kept].tolist(), strict=True)]
        assert found.returns[row][kept].tolist() == pytest.approx(returns, abs=1e-4)
    assert not found.advantages[~mask].any()
    assert not found.returns[~mask].any()


@given(completions(), st.floats(0.1, 1), st.floats(0, 1), st.lists(numbers, min_size=3, max_size=3))
def test_a_tail_is_the_value_behind_the_last_token(
    given_: tuple[Tensor, Tensor, Tensor], gamma: float, lam: float, tails: list[float]
) -> None:
    rewards, values, mask = given_
    found = generalized_advantages(rewards, values, mask, gamma=gamma, lam=lam, tails=torch.tensor(tails[: len(mask)]))
    none = generalized_advantages(rewards, values, mask, gamma=gamma, lam=lam, tails=torch.zeros(len(mask)))
    plain = generalized_advantages(rewards, values, mask, gamma=gamma, lam=lam)
    assert torch.equal(none.returns, plain.returns)
    for row in range(len(mask)):
        kept = mask[row]
        own, expected_of = values[row][kept].tolist(), rewards[row][kept].tolist()
        expected = by_hand(expected_of, own, gamma, lam, tails[row])
        assert found.advantages[row][kept].tolist() == pytest.approx(expected, abs=1e-4)
        # In the return of a token with k behind it, it counts (gamma lam)^k gamma times.
        gaps = (found.returns - plain.returns)[row][kept].tolist()
        assert gaps == pytest.approx(
            [(gamma * lam) ** (len(own) - 1 - t) * gamma * tails[row] for t in range(len(own))], abs=1e-4
        )


@given(completions(), st.floats(0.1, 1))
def test_lambda_1_returns_the_discounted_rewards_whatever_the_values(
    given_: tuple[Tensor, Tensor, Tensor], gamma: float
) -> None:
    rewards, values, mask = given_
    found = generalized_advantages(rewards, values, mask, gamma=gamma, lam=1.0)
    for row in range(len(mask)):
        own = rewards[row][mask[row]].tolist()
        returns = [sum(gamma**k * r for k, r in enumerate(own[start:])) for start in range(len(own))]
        assert found.returns[row][mask[row]].tolist() == pytest.approx(returns, abs=1e-4)


def test_values_that_are_right_leave_no_advantage() -> None:
    rewards = torch.tensor([[0.0, 0.0, 2.0, 9.0]])
    mask = torch.tensor([[True, True, True, False]])
    values = torch.tensor([[0.5, 1.0, 2.0, 7.0]])
    found = generalized_advantages(rewards, values, mask, gamma=0.5, lam=0.3)
    assert found.advantages.tolist() == [[0.0, 0.0, 0.0, 0.0]]
    assert found.returns.tolist() == [[0.5, 1.0, 2.0, 0.0]]


@given(completions())
def test_whitened_values_have_mean_0_and_deviation_1_over_what_is_kept(given_: tuple[Tensor, Tensor, Tensor]) -> None:
    values, _, mask = given_
    white = whitened(values, mask)
    assert not white[~mask].any()
    kept = values[mask].double()
    if len(kept) > 1 and kept.std() > 0.1:
        assert float(white[mask].mean()) == pytest.approx(0.0, abs=1e-4)
        assert float(white[mask].std()) == pytest.approx(1.0, abs=1e-3)
        assert float(whitened(values, mask, shift_mean=False)[mask].mean()) == pytest.approx(
            float(kept.mean()), abs=1e-3
        )
    if len(kept) < 2:
        assert white[mask].tolist() == values[mask].tolist()
