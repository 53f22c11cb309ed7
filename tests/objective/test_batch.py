"""Padding, masks and positions of a batch, and its micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lydite.objective import Batch, build_batch
from lydite.objective.sizes import read_sizes
from lydite.types import Scored

Build = Callable[..., Scored]
PAD = 0


@pytest.fixture(scope="session")
def scored(scored_of: Build) -> Scored:
    return scored_of(
        [[1.0, 0.0], [0.5, None]],
        prompts=[[5, 6, 7], [8]],
        tokens=[[[11, 12], [13]], [[14, 15, 16, 17], [18, 19, 20]]],
        finish=[["stop", "stop"], ["length", "stop"]],
        advantages=[[1.0, -1.0], [0.25, 0.0]],
    )


def built(scored: Scored, *, mask: bool = False) -> Batch:
    return build_batch(scored, pad_token_id=PAD, device="cpu", mask_truncated_completions=mask)


def test_prompts_end_and_completions_begin_in_one_column(scored: Scored) -> None:
    batch = built(scored)
    assert batch.input_ids.tolist() == [
        [5, 6, 7, 11, 12, PAD, PAD],
        [5, 6, 7, 13, PAD, PAD, PAD],
        [PAD, PAD, 8, 14, 15, 16, 17],
        [PAD, PAD, 8, 18, 19, 20, PAD],
    ]
    assert batch.completion_ids.tolist() == [row[3:] for row in batch.input_ids.tolist()]
    assert batch.attention_mask.tolist() == [
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 0],
    ]
    assert batch.position_ids.tolist() == [
        [0, 1, 2, 3, 4, 0, 0],
        [0, 1, 2, 3, 0, 0, 0],
        [0, 0, 0, 1, 2, 3, 4],
        [0, 0, 0, 1, 2, 3, 0],
    ]
    assert batch.completion_mask.dtype == torch.bool
    assert batch.completion_mask.sum(1).tolist() == [2, 1, 4, 3]
    assert batch.advantages.tolist() == [1.0, -1.0, 0.25, 0.0]
    assert batch.advantages.dtype == torch.float32
    assert batch.size == 4


def test_a_truncated_completion_is_masked_only_when_asked(scored: Scored) -> None:
    batch = built(scored, mask=True)
    assert batch.completion_mask.sum(1).tolist() == [2, 1, 0, 3]
    assert batch.attention_mask[2].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert batch.completion_ids[2].tolist() == [14, 15, 16, 17], "what was sampled is still there"


def test_a_pad_token_within_a_prompt_or_completion_is_a_token(scored_of: Build) -> None:
    scored = scored_of([[1.0, 0.0]], prompts=[[PAD, 5]], tokens=[[[PAD, 3], [4]]])
    batch = built(scored)
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.completion_mask.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(("second", "known"), [([-0.5], True), (None, False)])
def test_the_samplers_logps_are_padded_or_left_out(scored_of: Build, second: Any, known: bool) -> None:
    scored = scored_of([[1.0, 0.0]], tokens=[[[3, 4], [5]]], logps=[[[-1.0, -2.0], second]])
    logps = built(scored).sampler_logps
    if not known:
        assert logps is None
        return
    assert logps is not None
    assert logps.tolist() == [[-1.0, -2.0], [-0.5, 0.0]]
    micro = built(scored).rows(1, 2).sampler_logps
    assert micro is not None
    assert micro.tolist() == [[-0.5]]


def test_rows_take_off_the_columns_that_they_do_not_use(scored: Scored) -> None:
    first, second = built(scored).rows(0, 2), built(scored).rows(2, 4)
    assert first.input_ids.tolist() == [[5, 6, 7, 11, 12], [5, 6, 7, 13, PAD]]
    assert first.position_ids.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 0]]
    assert first.completion_ids.tolist() == [[11, 12], [13, PAD]]
    assert second.input_ids.tolist() == [[8, 14, 15, 16, 17], [8, 18, 19, 20, PAD]]
    assert second.completion_mask.sum(1).tolist() == [4, 3]
    assert second.advantages.tolist() == [0.25, 0.0]


def test_rows_of_masked_completions_only_keep_their_prompts(scored: Scored) -> None:
    alone = built(scored, mask=True).rows(2, 3)
    assert alone.input_ids.tolist() == [[8]]
    assert alone.completion_mask.shape == (1, 0)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (2, 2), (-1, 2), (3, 1)])
def test_rows_outside_the_batch_are_refused(scored: Scored, start: int, stop: int) -> None:
    with pytest.raises(IndexError, match=f"rows {start} to {stop} of a batch of 4"):
        built(scored).rows(start, stop)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(1, 5), min_size=1, max_size=3)), min_size=1),
    data=st.data(),
)
def test_rows_of_any_cut_hold_every_token_once(scored_of: Build, lengths: Any, data: Any) -> None:
    prompts = [[10 * p + i + 1 for i in range(length)] for p, (length, _) in enumerate(lengths)]
    tokens = [
        [[1000 * p + 100 * g + i + 1 for i in range(n)] for g, n in enumerate(of)] for p, (_, of) in enumerate(lengths)
    ]
    batch = built(scored_of([[0.0] * len(of) for _, of in lengths], prompts=prompts, tokens=tokens))
    cut = data.draw(st.integers(1, batch.size))
    parts = [batch.rows(start, min(start + cut, batch.size)) for start in range(0, batch.size, cut)]
    got = [
        ids[mask == 1].tolist() for part in parts for ids, mask in zip(part.input_ids, part.attention_mask, strict=True)
    ]
    assert got == [prompt + answer for prompt, answers in zip(prompts, tokens, strict=True) for answer in answers]
    for part in parts:
        assert part.attention_mask.any(0).all(), "no column is padding throughout"
        width = part.input_ids.shape[1] - part.completion_ids.shape[1]
        assert torch.equal(part.input_ids[:, width:], part.completion_ids)


def test_an_empty_step_and_an_empty_prompt_are_refused(scored_of: Build) -> None:
    with pytest.raises(ValueError, match="at least one completion"):
        built(scored_of([]))
    with pytest.raises(ValueError, match="sample 's0' has no tokens"):
        built(scored_of([[1.0]], prompts=[[]]))


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("rows", [(0, 4), (1, 3), (2, 3)])
def test_the_hosts_sizes_are_those_of_the_tensors(scored: Scored, mask: bool, rows: tuple[int, int]) -> None:
    batch = built(scored, mask=mask)
    kept = batch.rows(*rows)
    taken = batch.take(list(reversed(range(*rows))))
    for one in (batch, kept, taken):
        assert one.sizes is not None
        read = read_sizes(one.input_ids, one.attention_mask, one.completion_mask)
        assert (one.sizes.prompts, one.sizes.answers, one.sizes.holes) == (read.prompts, read.answers, read.holes)
        assert one.sizes.runs() == read.runs()
        assert one.trained_places().tolist() == one.completion_mask.flatten().nonzero().flatten().tolist()


def test_a_batch_without_sizes_is_measured(scored: Scored) -> None:
    batch = built(scored)
    bare = replace(batch, sizes=None)
    assert bare.measured() == batch.sizes
    assert bare.rows(1, 4).input_ids.tolist() == batch.rows(1, 4).input_ids.tolist()
