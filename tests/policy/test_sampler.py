"""Drawing by inverse CDF against a plain float64 reference, and the randomness behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.policy.sampler import BLOCK, Draw, draw_tokens, uniforms

VOCABULARIES = (1, 2, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5)


def reference(logits: np.ndarray, uniform: float, draw: Draw) -> tuple[int, float]:
    """One row, in float64, the long way round."""
    scores = logits.astype(np.float64) / draw.temperature
    policy = np.exp(scores - scores.max())
    policy /= policy.sum()
    kept = policy.copy()
    if 0 < draw.top_k < len(kept):
        kept[kept < np.sort(kept)[-draw.top_k]] = 0.0
    if draw.top_p < 1:
        descending = np.sort(kept)[::-1]
        last = int((np.cumsum(descending) < draw.top_p * descending.sum()).sum())
        kept[kept < descending[min(last, len(kept) - 1)]] = 0.0
    if draw.min_p:
        kept[kept < draw.min_p * policy.max()] = 0.0
    ends = np.cumsum(kept)
    token = int(np.searchsorted(ends, uniform * ends[-1], side="right"))
    return token, float(np.log(policy[token]))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    size=st.sampled_from(VOCABULARIES),
    spread=st.sampled_from([0.1, 1.0, 6.0]),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 3, 10_000]),
    top_p=st.sampled_from([1.0, 0.9, 0.3]),
    min_p=st.sampled_from([None, 0.05, 0.5]),
)
def test_tokens_and_log_probs_are_the_references(
    seed: int, size: int, spread: float, temperature: float, top_k: int, top_p: float, min_p: float | None
) -> None:
    draws = np.random.default_rng(seed)
    logits = (spread * draws.standard_normal((5, size))).astype(np.float32)
    # Away from the steps of the cumulative sum, where float32 and float64 may take either side.
    uniform = draws.uniform(0.02, 0.98, 5)
    draw = Draw(temperature, top_k, top_p, min_p)
    tokens, logps = draw_tokens(torch.from_numpy(logits), torch.from_numpy(uniform), draw)
    for row in range(5):
        token, logp = reference(logits[row], uniform[row], draw)
        if tokens[row] != token:
            near = [reference(logits[row], uniform[row] + step, draw)[0] for step in (-1e-5, 1e-5)]
            assert int(tokens[row]) in near
        else:
            assert float(logps[row]) == pytest.approx(logp, abs=2e-5)


@pytest.mark.parametrize("size", VOCABULARIES)
@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1.0, 0.0)])
def test_the_ends_of_the_unit_interval_draw_tokens_that_can_be(size: int, uniform: float) -> None:
    logits = torch.full((1, size), float("-inf"))
    logits[0, [0, size - 1]] = torch.tensor([0.0, -3.0])[:2] if size > 1 else 0.0
    token, logp = draw_tokens(logits, torch.tensor([uniform], dtype=torch.float64), Draw())
    assert int(token) == (0 if uniform == 0.0 else size - 1)
    assert torch.isfinite(logp).all()


@pytest.mark.parametrize("first", [0, 1, BLOCK, 2 * BLOCK + 3])
def test_the_lowest_number_draws_the_first_token_that_can_be(first: int) -> None:
    logits = torch.full((1, 3 * BLOCK), float("-inf"))
    logits[0, first:] = 0.0
    token, _ = draw_tokens(logits, torch.zeros(1, dtype=torch.float64), Draw())
    assert int(token) == first


def test_a_token_without_probability_is_never_drawn() -> None:
    logits = torch.randn(1, 4 * BLOCK, generator=torch.Generator().manual_seed(0))
    dead = torch.arange(4 * BLOCK) % 3 != 1
    logits[:, dead] = float("-inf")
    uniform = torch.linspace(0, 1, 4001, dtype=torch.float64)[:-1]
    tokens, _ = draw_tokens(logits.expand(len(uniform), -1), uniform, Draw())
    assert not dead[tokens].any()


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 0.5]])
    grid = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    tokens, _ = draw_tokens(logits.expand(len(grid), -1), grid, Draw(temperature=0.7))
    shares = torch.bincount(tokens, minlength=5) / len(grid)
    torch.testing.assert_close(shares, torch.softmax(logits[0] / 0.7, 0), rtol=0, atol=1e-4)


def test_greedy_takes_the_likeliest_at_temperature_one() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, -1.0, 2.0]])
    tokens, logps = draw_tokens(logits, torch.tensor([0.999, 0.999], dtype=torch.float64), Draw(temperature=0))
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logps, torch.log_softmax(logits, -1).amax(-1))


def test_truncation_changes_what_is_drawn_and_not_the_log_prob() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(1000, -1)
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    tokens, logps = draw_tokens(logits, uniform, Draw(top_k=2))
    assert set(tokens.tolist()) == {0, 1}
    torch.testing.assert_close(logps, torch.log_softmax(logits, -1).gather(1, tokens[:, None])[:, 0])


def test_uniforms_depend_on_seed_sample_and_place_alone() -> None:
    base = uniforms(1, "a", 0, 8)
    assert ((base >= 0) & (base < 1)).all()
    np.testing.assert_array_equal(uniforms(1, "a", 0, 20)[:8], base)
    others = [uniforms(2, "a", 0, 8), uniforms(1, "b", 0, 8), uniforms(1, "a", 1, 8), uniforms(11, "a", 0, 8)]
    assert len({tuple(one) for one in [base, *others]}) == 5


def test_seed_and_place_are_not_mixed_up() -> None:
    assert not np.array_equal(uniforms(1, "0\x001", 2, 4), uniforms(1, "1", 20, 4))
    assert not np.array_equal(uniforms(12, "x", 3, 4), uniforms(1, "x", 23, 4))
