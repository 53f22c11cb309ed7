"""The KL estimates against their definitions, what they estimate, and what their gradients are gradients of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lydite.objective import corrected_kl, per_token_kl, sequence_kl

ESTIMATORS = ("k1", "k2", "k3")
SEED = st.integers(0, 10_000)


def policies(seed: int, size: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of a policy, and the log-probabilities of it, of an older one that sampled, and of a reference."""
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, generator=source, dtype=torch.float64, requires_grad=True)
    old, ref = (torch.randn(size, generator=source, dtype=torch.float64).log_softmax(0) for _ in range(2))
    return logits, logits.log_softmax(0), old, ref


def divergence(logps: Tensor, ref: Tensor) -> Tensor:
    return (logps.exp() * (logps - ref)).sum()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(seed=SEED, lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_estimates_match_the_loop_and_padding_has_none(estimator: Any, seed: int, lengths: list[int]) -> None:
    source = torch.Generator().manual_seed(seed)
    mask = torch.arange(max([*lengths, 1])) < torch.tensor(lengths)[:, None]
    logps, ref = (-torch.randn(mask.shape, generator=source, dtype=torch.float64).abs() for _ in range(2))
    logps[~mask], ref[~mask] = math.nan, -math.inf
    logps.requires_grad_()
    formula = {"k1": lambda d: d, "k2": lambda d: d * d / 2, "k3": lambda d: math.exp(-d) - 1 + d}[estimator]
    expected = [
        [formula(one - other) if kept else 0.0 for one, other, kept in zip(*rows, strict=True)]
        for rows in zip(logps.tolist(), ref.tolist(), mask.tolist(), strict=True)
    ]
    found = per_token_kl(logps, ref, mask, estimator)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
    sums = torch.tensor([sum(row) for row in expected], dtype=torch.float64)
    torch.testing.assert_close(sequence_kl(logps, ref, mask, estimator), sums, rtol=1e-9, atol=1e-12)
    (slope,) = torch.autograd.grad(found.sum(), logps)
    assert slope[~mask].eq(0).all()
    assert slope.isfinite().all()


@given(seed=SEED)
def test_k1_and_k3_have_the_divergence_as_their_mean_and_k2_nearly(seed: int) -> None:
    _, logps, _, ref = policies(seed)
    mask, p, exact = torch.ones_like(logps, dtype=torch.bool), logps.exp(), divergence(logps, ref)
    for estimator in ("k1", "k3"):
        torch.testing.assert_close((p * per_token_kl(logps, ref, mask, estimator)).sum(), exact)  # type: ignore[arg-type]
    near = logps + 0.01 * (ref - logps)
    near = near - near.logsumexp(0)
    k2 = (p * per_token_kl(logps, near, mask, "k2")).sum()
    torch.testing.assert_close(k2, divergence(logps, near), rtol=0.1, atol=0.0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(seed=SEED)
def test_a_corrected_terms_mean_gradient_is_that_of_the_divergence_even_off_policy(estimator: Any, seed: int) -> None:
    """The mean over what the older policy draws, worked out over the whole vocabulary."""
    logits, logps, old, ref = policies(seed)
    kl = per_token_kl(logps, ref, torch.ones_like(logps, dtype=torch.bool), estimator)
    term = (old.exp() * corrected_kl(kl, (logps - old).exp(), estimator)).sum()
    (found,) = torch.autograd.grad(term, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(divergence(logps, ref), logits)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@given(seed=SEED)
def test_on_policy_and_without_a_correction_only_k2_has_the_right_gradient(seed: int) -> None:
    logits, logps, _, ref = policies(seed)
    mask, sampled = torch.ones_like(logps, dtype=torch.bool), logps.detach().exp()
    of_k1, of_k2, of_k3, exact = (
        torch.autograd.grad(total, logits, retain_graph=True)[0]
        for total in (
            (sampled * per_token_kl(logps, ref, mask, "k1")).sum(),
            (sampled * per_token_kl(logps, ref, mask, "k2")).sum(),
            (sampled * per_token_kl(logps, ref, mask, "k3")).sum(),
            divergence(logps, ref),
        )
    )
    torch.testing.assert_close(of_k1, torch.zeros_like(of_k1), rtol=0.0, atol=1e-12)
    torch.testing.assert_close(of_k2, exact, rtol=1e-9, atol=1e-12)
    (forward,) = torch.autograd.grad(-(ref.exp() * logps).sum(), logits)  # of KL(reference || policy)
    torch.testing.assert_close(of_k3, forward, rtol=1e-9, atol=1e-12)


def test_an_unknown_estimator_is_named() -> None:
    one = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="unknown kl_estimator 'k4'; there are k1, k2, k3"):
        per_token_kl(one, one, one == 0, "k4")  # type: ignore[arg-type]
