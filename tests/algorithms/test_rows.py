"""What an algorithm does with the rows of a batch: it takes some, in pairs that are never parted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lydite.objective import Batch, build_batch
from lydite.objective.micro_batches import micro_batches
from lydite.sentinels import _advantages_cancel
from lydite.types import Scored

fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
groups = st.lists(st.lists(st.integers(1, 9), min_size=4, max_size=4), min_size=1, max_size=3)


def batch_of(scored: Callable[..., Scored], lengths: list[list[int]]) -> Batch:
    step = scored(lengths, [[1.0] * len(group) for group in lengths])
    return build_batch(step, pad_token_id=0, device="cpu", mask_truncated_completions=False)


@fast
@given(lengths=groups, rows=st.integers(1, 5), tokens=st.none() | st.integers(1, 60), packed=st.booleans())
def test_pairs_are_never_parted(
    scored: Callable[..., Scored], lengths: list[list[int]], rows: int, tokens: int | None, packed: bool
) -> None:
    batch = batch_of(scored, lengths)
    spans = micro_batches(batch, 0, batch.size, rows=rows, tokens=tokens, packed=packed, unit=2)
    assert [row for span in spans for row in range(*span)] == list(range(batch.size))
    assert all(start % 2 == stop % 2 == 0 for start, stop in spans)
    for start, stop in spans:
        own = batch.rows(start, stop)
        if tokens is None:
            assert stop - start <= max(2, rows)
        elif not packed and stop - start > 2:
            assert own.input_ids.numel() <= tokens


def test_no_rows_are_no_micro_batches(scored: Callable[..., Scored]) -> None:
    empty = batch_of(scored, [[3, 2]]).take([])
    assert empty.size == 0
    for tokens in (None, 8):
        assert micro_batches(empty, 0, 0, rows=2, tokens=tokens) == []


@fast
@given(lengths=groups, data=st.data())
def test_what_is_taken_is_what_was_there(
    scored: Callable[..., Scored], lengths: list[list[int]], data: st.DataObject
) -> None:
    batch = batch_of(scored, lengths)
    chosen = data.draw(st.lists(st.integers(0, batch.size - 1), min_size=1, max_size=5))
    taken = batch.take(chosen)
    for place, row in enumerate(chosen):
        mine, theirs = taken.rows(place, place + 1), batch.rows(row, row + 1)
        assert mine.input_ids.tolist() == theirs.input_ids.tolist()
        assert mine.completion_mask.tolist() == theirs.completion_mask.tolist()
        assert mine.advantages.tolist() == theirs.advantages.tolist()


def test_advantages_of_tokens_cancel_token_by_token(scored: Callable[..., Scored]) -> None:
    batch = batch_of(scored, [[3, 3]]).take([0, 0])
    opposite = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 2.0, -0.5]])
    assert _advantages_cancel(replace(batch, advantages=opposite))
    assert not _advantages_cancel(replace(batch, advantages=opposite.flip(0) + torch.tensor([0.5, -0.5, 0.0])))
    assert not _advantages_cancel(replace(batch_of(scored, [[3, 3]]), advantages=opposite))


def test_rows_of_token_advantages_are_cut_as_the_tokens_are(scored: Callable[..., Scored]) -> None:
    batch = batch_of(scored, [[2, 5]])
    of_tokens = replace(batch, advantages=torch.arange(10.0).view(2, 5))
    assert of_tokens.rows(0, 1).advantages.tolist() == [[0.0, 1.0]]
    assert of_tokens.rows(1, 2).advantages.tolist() == [[5.0, 6.0, 7.0, 8.0, 9.0]]
