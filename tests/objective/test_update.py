"""From a policy and a batch to gradients: which forward passes are made, and that the policy learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lydite.config import TrainConfig
from lydite.objective import (
    LOSSES,
    Batch,
    build_batch,
    merge_metrics,
    micro_batch_loss,
    policy_logps,
    reference_logps,
    update_totals,
    with_advantages,
)
from lydite.types import Scored

V, H, LIMIT = 20, 6, 5
Build = Callable[..., Scored]


@pytest.fixture(scope="session")
def batch(scored_of: Build) -> Batch:
    """Six completions of two prompts, all lengths different, one of them truncated and masked."""
    scored = scored_of(
        [[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]],
        prompts=[[4, 5, 6], [7]],
        tokens=[[[8, 9, 1], [10, 1], [11, 12, 13, 14, 15]], [[1], [16, 17, 18, 1], [9, 8]]],
        finish=[["stop", "stop", "length"], ["stop", "stop", "stop"]],
    )
    filled = with_advantages(scored, scale="group", aggregate="sum_then_normalize")
    return build_batch(filled, pad_token_id=0, device="cpu", mask_truncated_completions=True)


def totals_of(batch: Batch) -> Any:
    return update_totals(batch, 0, batch.size, max_completion_length=LIMIT)


def test_the_first_iteration_takes_its_own_logps(batch: Batch, toy_policy: Any) -> None:
    policy = toy_policy(V, H)
    output, logps = micro_batch_loss(policy, batch, totals_of(batch), TrainConfig(loss_type="grpo"))
    expected = -(batch.advantages * (batch.completion_mask.sum(1) > 0)).sum() / batch.size
    assert output.loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert policy.forwards == [(True, True)], "one forward pass, with gradient"
    assert not logps.requires_grad
    figures = merge_metrics([output.metrics])
    assert figures["clip_ratio/region_mean"] == 0.0
    assert figures["entropy"] > 0
    assert "kl" not in figures
    assert torch.equal(logps, policy_logps(policy, batch, TrainConfig()).logps.detach())


def test_beta_asks_the_reference_without_gradient_and_equal_policies_have_no_kl(batch: Batch, toy_policy: Any) -> None:
    policy, config = toy_policy(V, H), TrainConfig(beta=0.1)
    output, _ = micro_batch_loss(policy, batch, totals_of(batch), config)
    assert policy.forwards == [(False, False), (True, True)]
    assert policy.enabled
    assert merge_metrics([output.metrics])["kl"] == 0.0

    with torch.no_grad():
        policy.adapter.add_(0.3 * torch.eye(H))
    output, _ = micro_batch_loss(policy, batch, totals_of(batch), config)
    assert merge_metrics([output.metrics])["kl"] > 1e-3

    known = reference_logps(policy, batch, config)
    policy.forwards.clear()
    spared, _ = micro_batch_loss(policy, batch, totals_of(batch), config, ref_logps=known)
    assert policy.forwards == [(True, True)]
    assert torch.equal(spared.loss, output.loss)


def test_later_iterations_measure_against_the_first(batch: Batch, toy_policy: Any) -> None:
    policy, config = toy_policy(V, H), TrainConfig(loss_type="bnpo")
    first, old = micro_batch_loss(policy, batch, totals_of(batch), config)
    with torch.no_grad():
        policy.adapter.add_(0.5 * torch.randn(H, H, generator=torch.Generator().manual_seed(0)))
    later, _ = micro_batch_loss(policy, batch, totals_of(batch), config, old_logps=old)
    forgetful, _ = micro_batch_loss(policy, batch, totals_of(batch), config)
    assert merge_metrics([later.metrics])["clip_ratio/region_mean"] > 0
    assert later.loss.item() != pytest.approx(first.loss.item(), abs=1e-3)
    assert forgetful.loss.item() == pytest.approx(first.loss.item(), abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_micro_batches_accumulate_the_updates_gradient(name: Any, size: int, batch: Batch, toy_policy: Any) -> None:
    config = TrainConfig(loss_type=name, beta=0.2, logprob_chunk_size=3)
    whole, parts = toy_policy(V, H, train_head=True), toy_policy(V, H, train_head=True)
    for policy in (whole, parts):
        with torch.no_grad():
            policy.adapter.add_(0.2 * torch.eye(H))
    output, _ = micro_batch_loss(whole, batch, totals_of(batch), config)
    torch.autograd.backward(output.loss)
    outputs = []
    for start in range(0, batch.size, size):
        rows = batch.rows(start, min(start + size, batch.size))
        part, _ = micro_batch_loss(parts, rows, totals_of(batch), config)
        torch.autograd.backward(part.loss)
        outputs.append(part)
    assert sum(part.loss.item() for part in outputs) == pytest.approx(output.loss.item(), rel=1e-5, abs=1e-6)
    torch.testing.assert_close(parts.adapter.grad, whole.adapter.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(parts.weight.grad, whole.weight.grad, rtol=1e-4, atol=1e-6)
    merged = merge_metrics([part.metrics for part in outputs])
    assert merged == pytest.approx(merge_metrics([output.metrics]), rel=1e-5, abs=1e-6)


def test_padding_on_the_left_plays_no_part(batch: Batch, toy_policy: Any) -> None:
    policy = toy_policy(V, H)
    together = policy_logps(policy, batch, TrainConfig()).logps
    for row in range(batch.size):
        alone = batch.rows(row, row + 1)
        length = alone.completion_ids.shape[1]
        found = policy_logps(policy, alone, TrainConfig()).logps[0]
        torch.testing.assert_close(together[row, :length], found, rtol=1e-5, atol=1e-6)


def test_a_masked_completion_alone_makes_a_gradient_of_zero(batch: Batch, toy_policy: Any) -> None:
    policy = toy_policy(V, H)
    rows = batch.rows(2, 3)
    output, logps = micro_batch_loss(policy, rows, totals_of(batch), TrainConfig(beta=0.1))
    torch.autograd.backward(output.loss)
    assert logps.shape == (1, 0)
    assert output.loss.item() == 0.0
    assert policy.adapter.grad.eq(0).all()


@pytest.mark.parametrize("name", ["old_logps", "ref_logps"])
def test_logps_of_another_shape_are_refused(name: str, batch: Batch, toy_policy: Any) -> None:
    wrong: dict[str, Any] = {name: torch.zeros(6, 4)}
    with pytest.raises(ValueError, match=rf"{name} of the micro-batch's shape \(6, 5\) was expected, got \(6, 4\)"):
        micro_batch_loss(toy_policy(V, H), batch, totals_of(batch), TrainConfig(), **wrong)


def test_update_totals_count_the_update_and_its_share_of_the_sampling(batch: Batch) -> None:
    totals = update_totals(batch, 0, 2, max_completion_length=LIMIT)
    assert (totals.sequences, totals.tokens, totals.max_completion_length) == (2, 5, LIMIT)
    assert totals.mean_tokens == pytest.approx((3 + 2 + 0 + 1 + 4 + 2) / 3)
    assert totals_of(batch).mean_tokens == totals_of(batch).tokens == 12


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("train_head", [False, True])
def test_it_learns(name: Any, train_head: bool, scored_of: Build, toy_policy: Any) -> None:
    """A bandit: two prompts, completions of two tokens, reward 1 when the first token is even.

    The share of even tokens, from the policy's own probabilities, must rise from about half to nearly all.
    """
    policy = toy_policy(V, H, seed=2, train_head=train_head)
    trained = [policy.adapter, policy.weight] if train_head else [policy.adapter]
    optimizer = torch.optim.Adam(trained, lr=0.05)
    source = torch.Generator().manual_seed(0)
    prompts = [[4, 5, 6], [7]]
    config = TrainConfig(loss_type=name, beta=0.001, max_completion_length=2, temperature=1.0)

    def distribution(tokens: list[int]) -> Any:
        ids = torch.tensor([tokens])
        with torch.no_grad():
            states = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(len(tokens))[None])
            return (states[0, -1] @ policy.weight.T).softmax(-1)

    def even_share() -> float:
        return sum(float(distribution(prompt)[::2].sum()) for prompt in prompts) / len(prompts)

    def sampled(prompt: list[int]) -> list[int]:
        answer: list[int] = []
        for _ in range(2):
            answer += torch.multinomial(distribution(prompt + answer), 1, generator=source).tolist()
        return answer

    start = even_share()
    assert 0.2 < start < 0.8
    for _ in range(40):
        tokens = [[sampled(prompt) for _ in range(8)] for prompt in prompts]
        rewards = [[1.0 - answer[0] % 2 for answer in group] for group in tokens]
        scored = with_advantages(
            scored_of(rewards, prompts=prompts, tokens=tokens), scale="group", aggregate="sum_then_normalize"
        )
        batch = build_batch(scored, pad_token_id=0, device="cpu", mask_truncated_completions=False)
        for first in range(0, batch.size, 4):
            output, _ = micro_batch_loss(policy, batch.rows(first, first + 4), totals_of(batch), config)
            torch.autograd.backward(output.loss)
        optimizer.step()
        optimizer.zero_grad()
    assert even_share() > 0.95
