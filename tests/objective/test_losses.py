"""Each loss against a plain loop in float64, and the algebra of cutting, masking and advantages."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.loss_by_the_loop import CLIPPED, loop
from support.loss_inputs import KINDS, LENGTHS, LIMIT, SETTINGS, TYPES, cut, gradient, made, with_threshold

from lydite.objective import LOSSES, LossSettings, merge_metrics


@pytest.mark.parametrize("name", TYPES)
@given(
    seed=st.integers(0, 10_000),
    lengths=LENGTHS,
    settings=SETTINGS,
    updates=st.sampled_from([1.0, 0.75, 2.5]),
    kind=KINDS,
)
def test_loss_and_figures_match_the_loop(
    name: str, seed: int, lengths: list[int], settings: LossSettings, updates: float, kind: dict[str, bool]
) -> None:
    if kind["of_tokens"] and settings.importance_sampling_level == "sequence":
        kind = {**kind, "of_tokens": False}  # a completion's clip is then no longer one for all its tokens
    inputs = made(seed, lengths, updates=updates, **kind)
    output = LOSSES[name](inputs, settings)
    loss, figures = loop(name, inputs, settings)
    assert output.loss.item() == pytest.approx(loss, rel=1e-9, abs=1e-12)
    assert merge_metrics([output.metrics]) == pytest.approx(figures, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS, kind=KINDS, data=st.data())
def test_micro_batches_of_any_cut_add_up_to_the_update(
    name: str, seed: int, lengths: list[int], settings: LossSettings, kind: dict[str, bool], data: Any
) -> None:
    inputs = with_threshold(made(seed, lengths, **kind), settings)
    bounds = sorted({0, len(lengths), *data.draw(st.lists(st.integers(0, len(lengths)), max_size=3))})
    parts = [LOSSES[name](cut(inputs, a, b), settings) for a, b in pairwise(bounds)]
    whole = LOSSES[name](inputs, settings)
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), rel=1e-9, abs=1e-12)
    summed = torch.stack([part.loss for part in parts]).sum()
    (from_parts,) = torch.autograd.grad(summed, inputs.logps)
    torch.testing.assert_close(from_parts, gradient(name, inputs, settings), rtol=1e-9, atol=1e-12)
    merged = merge_metrics([part.metrics for part in parts])
    assert merged == pytest.approx(merge_metrics([whole.metrics]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS, kind=KINDS)
def test_padding_has_no_gradient_whatever_it_holds(
    name: str, seed: int, lengths: list[int], settings: LossSettings, kind: dict[str, bool]
) -> None:
    inputs = made(seed, lengths, **kind)
    assert inputs.entropy is not None
    loss = LOSSES[name](inputs, settings).loss
    for found in torch.autograd.grad(loss, (inputs.logps, inputs.entropy), materialize_grads=True):
        assert found.isfinite().all()
        assert found[~inputs.mask].eq(0).all()


@pytest.mark.parametrize("level", ["token", "sequence", "sequence_token"])
@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_on_policy_the_gradient_is_the_policy_gradient(name: str, level: Any, seed: int, lengths: list[int]) -> None:
    """Ratio 1: d loss / d logp = -A / divisor, for every loss and every level."""
    off = made(seed, lengths, spread=0.0)
    inputs = replace(off, old_logps=off.logps.detach())
    of_sequences = torch.tensor(lengths, dtype=torch.float64)[:, None] * len(lengths)
    divisors = {
        "grpo": of_sequences,
        "sapo": of_sequences,
        "dr_grpo": torch.tensor(float(len(lengths) * LIMIT)),
        "luspo": torch.tensor(float(len(lengths))),
    }
    divisor = divisors.get(name, torch.tensor(float(sum(lengths))))
    expected = torch.where(inputs.mask, -inputs.advantages[:, None] / divisor, 0.0)
    found = gradient(name, inputs, LossSettings(importance_sampling_level=level))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CLIPPED)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS)
def test_gspo_by_tokens_has_the_gradient_of_gspo(
    name: str, seed: int, lengths: list[int], settings: LossSettings
) -> None:
    """Where a completion has one advantage; for every average, since the ratio is one for all of its tokens."""
    inputs = made(seed, lengths)
    plain = replace(settings, beta=0.0, top_entropy_quantile=1.0)
    whole, by_tokens = (
        gradient(name, inputs, replace(plain, importance_sampling_level=level))
        for level in ("sequence", "sequence_token")
    )
    torch.testing.assert_close(whole, by_tokens, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS)
def test_advantages_of_tokens_that_are_all_one_are_that_of_the_completion(
    name: str, seed: int, lengths: list[int], settings: LossSettings
) -> None:
    inputs = made(seed, lengths)
    spread = torch.where(inputs.mask, inputs.advantages[:, None], math.nan)
    one, other = (
        (LOSSES[name](each, settings), gradient(name, each, settings))
        for each in (inputs, replace(inputs, advantages=spread))
    )
    torch.testing.assert_close(one[0].loss, other[0].loss, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one[1], other[1], rtol=1e-9, atol=1e-12)
    assert one[0].metrics.live == other[0].metrics.live


def test_advantages_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"completions \[2\] or of their tokens \[2, 3\] were expected, got \[3\]"):
        LOSSES["grpo"](replace(made(0, [2, 3]), advantages=torch.zeros(3)), LossSettings())
