"""Training on the tokens of the highest entropy: the threshold, and that it does not depend on how an update is cut."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lydite.config import TrainConfig
from lydite.objective import (
    Batch,
    build_batch,
    micro_batch_loss,
    policy_logps,
    token_entropies,
    update_totals,
    with_advantages,
    with_entropy_threshold,
)
from lydite.objective.high_entropy import entropy_threshold
from lydite.types import Scored


@given(entropies=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=40, unique=True), top=st.floats(0.0, 1.0))
def test_the_threshold_is_torchs_quantile_and_keeps_the_share(entropies: list[float], top: float) -> None:
    values = torch.tensor(entropies, dtype=torch.float64)
    found = entropy_threshold(values, top)
    assert found == pytest.approx(float(torch.quantile(values, 1.0 - top)), rel=1e-9, abs=1e-12)
    kept = int((values >= found).sum())
    assert kept >= 1
    assert abs(kept - top * len(entropies)) <= 1.0 + 1e-6


def test_all_the_highest_alone_and_none() -> None:
    values = torch.tensor([3.0, 1.0, 2.0])
    assert entropy_threshold(values, 1.0) == 1.0
    assert entropy_threshold(values, 0.0) == 3.0
    assert entropy_threshold(torch.empty(0), 0.5) == float("inf")


@given(entropies=st.lists(st.sampled_from([0.1, 0.7, 1.3, 2.9]), min_size=1, max_size=30), top=st.floats(0.0, 1.0))
def test_tokens_of_equal_entropy_are_kept_or_left_out_together(entropies: list[float], top: float) -> None:
    """As in TRL, whose quantile lies on the tie too: the share that is kept may be larger, never smaller."""
    values = torch.tensor(entropies)
    found = entropy_threshold(values, top)
    kept = values >= found
    for one in values.unique():
        assert len(kept[values == one].unique()) == 1
    assert int(kept.sum()) >= top * (len(entropies) - 1)
    assert kept.equal(values >= torch.quantile(values, 1.0 - top))


def test_an_update_of_equal_entropies_is_trained_on_whole(batch: Batch) -> None:
    totals = update_totals(batch, 0, batch.size, max_completion_length=6)
    flat = torch.full((totals.tokens,), 1.7)
    found = with_entropy_threshold(totals, flat, 0.2)
    assert (found.entropy_threshold, found.high_entropy_tokens) == (pytest.approx(1.7), totals.tokens)


@pytest.fixture(scope="module")
def batch(scored_of: Callable[..., Scored]) -> Batch:
    tokens = [[[8, 9, 1], [10, 1], [11, 12, 13, 14]], [[1], [16, 17, 18, 1], [9, 8]]]
    scored = with_advantages(
        scored_of([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]], prompts=[[4, 5, 6], [7]], tokens=tokens),
        scale="group",
        aggregate="sum_then_normalize",
    )
    return build_batch(scored, pad_token_id=0, device="cpu", mask_truncated_completions=False)


@pytest.mark.parametrize("bounds", [(0, 6), (0, 1, 6), (0, 2, 4, 6)])
def test_an_update_is_the_same_however_it_is_cut(bounds: tuple[int, ...], batch: Batch, toy_policy: Any) -> None:
    config = TrainConfig(top_entropy_quantile=0.4, entropy_coef=0.2, loss_type="grpo")
    policy = toy_policy(20, 6)
    entropies = policy_logps(policy, batch, config).entropy.detach()
    kept = batch.completion_mask & (entropies >= torch.quantile(entropies[batch.completion_mask], 0.6))
    assert 0 < kept.sum() < batch.completion_mask.sum()
    per_row = -(kept * batch.advantages[:, None]).sum(1) / batch.completion_mask.sum(1)
    expected = per_row.mean() - 0.2 * entropies[kept].mean()

    parts = [batch.rows(start, stop) for start, stop in pairwise(bounds)]
    totals = update_totals(batch, 0, batch.size, max_completion_length=5)
    policy.forwards.clear()
    if len(parts) > 1:  # the loss of a whole update finds it by itself
        totals = with_entropy_threshold(totals, token_entropies(policy, parts, config), config.top_entropy_quantile)
        assert policy.forwards == [(True, False)] * len(parts), "without gradient"
    loss = sum(micro_batch_loss(policy, part, totals, config)[0].loss.item() for part in parts)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_the_entropy_bonus_reaches_the_weights(batch: Batch, toy_policy: Any) -> None:
    """One step along its gradient alone makes the mean entropy larger."""
    config = TrainConfig(entropy_coef=1.0)
    flat = Batch(**{name: getattr(batch, name) for name in batch.__dataclass_fields__} | {
        "advantages": torch.zeros(batch.size)
    })  # fmt: skip
    policy = toy_policy(20, 6)
    totals = update_totals(flat, 0, flat.size, max_completion_length=5)
    before = policy_logps(policy, flat, config).entropy[flat.completion_mask].mean().item()
    output = micro_batch_loss(policy, flat, totals, config)[0]
    assert output.loss.item() == pytest.approx(-before, rel=1e-5)
    torch.autograd.backward(output.loss)
    with torch.no_grad():
        policy.adapter.sub_(0.01 * policy.adapter.grad)
    assert policy_logps(policy, flat, config).entropy[flat.completion_mask].mean().item() > before
