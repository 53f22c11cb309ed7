"""How an update is cut: every row once and in order, within the budget, and without a trace in the gradient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scored_steps import scored_step
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig, TrainConfig
from lydite.objective import Batch, build_batch, merge_metrics, micro_batch_loss, update_totals
from lydite.objective.micro_batches import Span, largest_pass, micro_batches
from lydite.objective.packed import pack
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy

Lengths = list[tuple[int, list[int]]]


def batch_of(groups: Lengths, *, same_prompt: bool = False) -> Batch:
    """Groups by the tokens of their prompt and of their completions; neighbours' prompts differ, or not."""
    step = scored_step(
        [[1.0] * len(answers) for _, answers in groups],
        prompts=[[3 if same_prompt else 3 + number % 2] * prompt for number, (prompt, _) in enumerate(groups)],
        tokens=[
            [[5 + (7 * place + token) % 40 for token in range(length)] for place, length in enumerate(answers)]
            for _, answers in groups
        ],
        advantages=[[0.5 - place % 3 for place in range(len(answers))] for _, answers in groups],
    )
    return build_batch(step, pad_token_id=0, device="cpu", mask_truncated_completions=False)


def tokens_of(batch: Batch, span: Span, *, packed: bool) -> int:
    rows = batch.rows(*span)
    if not packed:
        return rows.input_ids.numel()
    written = pack(rows).layout.tokens
    return written + rows.size  # a completion's last token is counted, though nothing is computed of it


lengths = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.integers(1, 7), min_size=1, max_size=5)), min_size=1, max_size=5
)


@given(lengths, st.integers(1, 60), st.booleans(), st.booleans(), st.data())
def test_rows_are_cut_once_in_order_and_within_the_budget(
    groups: Lengths, budget: int, packed: bool, same: bool, data: st.DataObject
) -> None:
    batch = batch_of(groups, same_prompt=same)
    start = data.draw(st.integers(0, batch.size - 1))
    stop = data.draw(st.integers(start + 1, batch.size))
    spans = micro_batches(batch, start, stop, rows=1, tokens=budget, packed=packed)
    assert [row for span in spans for row in range(*span)] == list(range(start, stop))
    for first, last in spans:
        assert last - first == 1 or tokens_of(batch, (first, last), packed=packed) <= budget
    for (first, _), (_, last) in pairwise(spans):
        assert tokens_of(batch, (first, last), packed=packed) > budget, "neighbours that fit together are together"


@given(lengths, st.integers(1, 60))
def test_a_group_that_fits_into_a_micro_batch_is_not_cut(groups: Lengths, budget: int) -> None:
    batch = batch_of(groups)
    spans = micro_batches(batch, 0, batch.size, rows=1, tokens=budget)
    begin = 0
    for prompt, answers in groups:
        end = begin + len(answers)
        if prompt + sum(answers) <= budget and all(one != other for one, other in _neighbours(groups)):
            assert any(first <= begin and end <= last for first, last in spans)
        begin = end


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (13, [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]),
        (12, [(0, 2), (2, 3), (3, 5), (5, 6), (6, 8), (8, 9)]),  # the next group's prompt leaves its answer no room
    ],
)
def test_groups_larger_than_a_micro_batch_fill_it_one_after_the_other(budget: int, expected: list[Span]) -> None:
    batch = batch_of([(2, [4] * 3), (3, [4] * 3), (2, [4] * 3)])  # 14, 15 and 14 tokens
    assert micro_batches(batch, 0, batch.size, rows=1, tokens=budget) == expected


def _neighbours(groups: Lengths) -> list[tuple[Any, Any]]:
    """Prompts of neighbours, which are one group where they are equal."""
    prompts = [(prompt, number % 2) for number, (prompt, _) in enumerate(groups)]
    return list(pairwise(prompts))


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 9))
def test_without_a_budget_it_is_the_number_of_completions(start: int, count: int, rows: int) -> None:
    batch = batch_of([(2, [3] * 8)] * 5)
    stop = min(start + count, batch.size)
    spans = micro_batches(batch, start, stop, rows=rows, tokens=None)
    assert [row for span in spans for row in range(*span)] == list(range(start, stop))
    assert all(last - first == rows for first, last in spans[:-1])
    assert 0 < spans[-1][1] - spans[-1][0] <= rows


def test_the_largest_pass_is_what_packing_and_padding_make_of_it() -> None:
    batch = batch_of([(4, [2, 6]), (3, [5])])
    packed = largest_pass(batch, [(0, 2), (2, 3)])
    assert (packed.tokens, packed.keys, packed.completion_tokens) == (4 + 8, 4 + 2 * 10, 8)
    assert packed.pairs == 16 + 2 * 6 * 10
    padded = largest_pass(batch, [(0, 2), (2, 3)], packed=False)
    assert (padded.tokens, padded.pairs, padded.packed) == (20, 2 * 100, False)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = make_tiny_model(tmp_path_factory.mktemp("cut") / "model", "qwen3", settings={"num_hidden_layers": 1})
    config = ModelConfig(path=str(folder), dtype="float32", device="cpu")
    made = load_policy(config, LoraConfig(r=4), load_plugins(allow=["lydite-families"]), 0)
    with torch.no_grad():
        for index, one in enumerate(made.trainable().values()):
            one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(index)) * 0.05)
    return made


@pytest.fixture(scope="module")
def update_of(policy: Policy) -> Callable[[TrainConfig], tuple[list[torch.Tensor], dict[str, float]]]:
    """The gradient of an update of ragged groups, and its figures, cut as the configuration says."""
    batch = batch_of([(6, [3, 9, 1, 4]), (2, [7, 2, 2, 8]), (5, [1, 1, 6, 3])])

    def update(train: TrainConfig) -> tuple[list[torch.Tensor], dict[str, float]]:
        totals = update_totals(batch, 0, batch.size, max_completion_length=9)
        spans = micro_batches(
            batch, 0, batch.size, rows=batch.size, tokens=train.micro_batch_tokens, packed=train.share_prompts
        )
        assert train.micro_batch_tokens is None or len(spans) > 1
        parts, total = [], 0.0
        for one in policy.trainable().values():
            one.grad = None
        for span in spans:
            output, _ = micro_batch_loss(policy, batch.rows(*span), totals, train)
            output.loss.backward()
            parts.append(output.metrics)
            total += float(output.loss.detach())
        found = [one.grad for one in policy.trainable().values() if one.grad is not None]
        return found, {"loss": total, **merge_metrics(parts)}

    return update


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("share", [True, False])
def test_any_budget_gives_the_gradient_of_one_micro_batch(update_of: Any, loss_type: str, share: bool) -> None:
    settings = {"loss_type": loss_type, "share_prompts": share, "beta": 0.1}
    whole, figures = update_of(TrainConfig(**settings))
    assert max(float(one.abs().max()) for one in whole) > 1e-3
    for budget in (1, 23, 50):
        cut, of_cut = update_of(TrainConfig(**settings, micro_batch_tokens=budget))
        for ours, one in zip(cut, whole, strict=True):
            torch.testing.assert_close(ours, one, rtol=1e-5, atol=1e-6)
        assert of_cut == pytest.approx(figures, rel=1e-5, abs=1e-6)
