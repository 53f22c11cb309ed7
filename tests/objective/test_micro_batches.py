"""How an update is cut: every row once and in order, within the budget, and without a trace in the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, groupby, pairwise
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


def lengths_of(unit: int = 1) -> st.SearchStrategy[Lengths]:
    """Groups of one to five times so many completions."""
    answers = st.integers(1, 5).flatmap(lambda n: st.lists(st.integers(1, 7), min_size=n * unit, max_size=n * unit))
    return st.lists(st.tuples(st.integers(1, 6), answers), min_size=1, max_size=5)


Row = tuple[tuple[int, int], int]
"""What a completion's prompt is, its token and its length, and the tokens of the completion."""


def rows_of(groups: Lengths, *, same_prompt: bool = False) -> list[Row]:
    """The rows of `batch_of`."""
    return [
        ((3 if same_prompt else 3 + number % 2, prompt), answer)
        for number, (prompt, answers) in enumerate(groups)
        for answer in answers
    ]


def cost(rows: Sequence[Row]) -> int:
    """Tokens of a pass: each run of equal prompts has its prompt once."""
    return sum(prompt[1] + sum(answer for _, answer in run) for prompt, run in groupby(rows, key=lambda row: row[0]))


def runs_of(rows: Sequence[Row]) -> list[list[Row]]:
    """Neighbours with the same prompt, which are what a group is to the cut."""
    return [list(run) for _, run in groupby(rows, key=lambda row: row[0])]


def filled(pieces: Sequence[list[Row]], budget: int) -> list[list[Row]]:
    """Passes that each take piece after piece as far as the budget allows, and one in any case.

    No cut into such pieces has fewer: a part of a pass costs no more than the pass, so none is ever ahead of this one.
    """
    passes: list[list[Row]] = []
    for piece in pieces:
        if passes and cost([*passes[-1], *piece]) <= budget:
            passes[-1].extend(piece)
        else:
            passes.append([*piece])
    return passes


def in_units(rows: Sequence[Row], unit: int) -> list[list[Row]]:
    return [[*rows[first : first + unit]] for first in range(0, len(rows), unit)]


units, budgets = st.integers(1, 3), st.integers(1, 60)


@given(units, budgets, st.booleans(), st.booleans(), st.data())
def test_rows_are_cut_once_in_order_between_units_and_within_the_budget(
    unit: int, budget: int, packed: bool, same: bool, data: st.DataObject
) -> None:
    batch = batch_of(data.draw(lengths_of(unit)), same_prompt=same)
    start = unit * data.draw(st.integers(0, batch.size // unit - 1))
    stop = unit * data.draw(st.integers(start // unit + 1, batch.size // unit))
    spans = micro_batches(batch, start, stop, rows=1, tokens=budget, packed=packed, unit=unit)
    assert [row for span in spans for row in range(*span)] == list(range(start, stop))
    for first, last in spans:
        assert first % unit == last % unit == 0
        assert last - first == unit or tokens_of(batch, (first, last), packed=packed) <= budget
    for (first, _), (_, last) in pairwise(spans):
        assert tokens_of(batch, (first, last), packed=packed) > budget, "neighbours that fit together are together"


@given(units, budgets, st.booleans(), st.data())
def test_no_other_cut_within_the_budget_has_fewer_micro_batches(
    unit: int, budget: int, same: bool, data: st.DataObject
) -> None:
    groups = data.draw(lengths_of(unit))
    batch, rows = batch_of(groups, same_prompt=same), rows_of(groups, same_prompt=same)
    spans = micro_batches(batch, 0, batch.size, rows=1, tokens=budget, unit=unit)
    assert len(spans) <= len(filled(in_units(rows, unit), budget))


@given(units, budgets, st.booleans(), st.data())
def test_a_group_that_fits_into_a_micro_batch_is_parted_only_for_fewer_of_them(
    unit: int, budget: int, same: bool, data: st.DataObject
) -> None:
    groups = data.draw(lengths_of(unit))
    batch, runs = batch_of(groups, same_prompt=same), runs_of(rows_of(groups, same_prompt=same))
    spans = micro_batches(batch, 0, batch.size, rows=1, tokens=budget, unit=unit)
    ends = [0, *accumulate(len(run) for run in runs)]
    inside = {
        row
        for (begin, end), run in zip(pairwise(ends), runs, strict=True)
        if cost(run) <= budget
        for row in range(begin + 1, end)
    }
    if any(first in inside for first, _ in spans):
        pieces = [piece for run in runs for piece in ([run] if cost(run) <= budget else in_units(run, unit))]
        assert len(spans) < len(filled(pieces, budget))


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (8192, [(0, 15), (15, 30), (30, 32)]),  # two groups are 256 tokens too many: a pass each would be 4
        (8448, [(0, 16), (16, 32)]),
        (8447, [(0, 15), (15, 30), (30, 32)]),
        (5000, [(0, 8), (8, 16), (16, 24), (24, 32)]),  # parting them makes 4 as well
    ],
)
def test_groups_are_parted_where_a_pass_less_comes_of_it(budget: int, expected: list[Span]) -> None:
    batch = batch_of([(128, [512] * 8)] * 4)  # 4,224 tokens each
    assert micro_batches(batch, 0, batch.size, rows=1, tokens=budget) == expected


def test_groups_that_fill_a_micro_batch_to_the_last_token_are_together() -> None:
    batch = batch_of([(2, [2]), (2, [2]), (2, [3]), (1, [1, 2])])  # 4, 4, 5 and 4 tokens
    assert micro_batches(batch, 0, batch.size, rows=1, tokens=8) == [(0, 2), (2, 3), (3, 5)]


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


@given(st.integers(1, 9), units, st.data())
def test_without_a_budget_units_stay_whole_too(rows: int, unit: int, data: st.DataObject) -> None:
    batch = batch_of([(2, [3] * 6)] * 5)
    start = unit * data.draw(st.integers(0, batch.size // unit - 1))
    stop = unit * data.draw(st.integers(start // unit + 1, batch.size // unit))
    spans = micro_batches(batch, start, stop, rows=rows, tokens=None, unit=unit)
    assert [row for span in spans for row in range(*span)] == list(range(start, stop))
    assert all(first % unit == last % unit == 0 for first, last in spans)
    assert all(last - first <= max(rows, unit) for first, last in spans)


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
