"""Partial softmaxes put together and rows added, in place. Runs without Triton, and in its interpreter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lydite.kernels.merge import add_rows, merge_into
from lydite.kernels.switch import interpreted

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
CheckSteps = Callable[..., None]


@pytest.fixture(autouse=True)
def without_the_other_way(only_programs: Callable[..., None]) -> None:
    only_programs("merge", "merge_reference", "add_rows_reference")


def partial(scores: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax over the keys of scores [H, T, K] and values [H, K, D], as [T, H, D], and its log-sum-exp [H, T]."""
    return (scores.softmax(-1) @ values).transpose(0, 1).contiguous(), scores.logsumexp(-1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "width"), [(3, 64), (2, 36), (1, 200)])
def test_two_results_are_one_softmax(check_steps: CheckSteps, dtype: torch.dtype, heads: int, width: int) -> None:
    tokens, keys = 37, 29
    rows = torch.randperm(tokens)[:19].sort().values
    scores = torch.randn(heads, tokens, keys) * 8
    values = torch.randn(heads, keys, width)
    output, lse = partial(scores[..., :11], values[:, :11])
    second, second_lse = partial(scores[:, rows, 11:], values[:, 11:])
    output, second = output.to(dtype), second.to(dtype)
    whole, whole_lse = partial(scores[:, rows], values)
    before, before_lse = output.clone(), lse.clone()
    merge_into(output, lse, second, second_lse.contiguous(), rows)
    rest = [row for row in range(tokens) if row not in rows.tolist()]
    assert torch.equal(output[rest], before[rest])
    assert torch.equal(lse[:, rest], before_lse[:, rest])
    torch.testing.assert_close(lse[:, rows], whole_lse, rtol=1e-5, atol=1e-5)
    # Both parts were rounded before they were put together.
    step = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10, torch.float32: 2.0**-20}[dtype]
    assert bool(((output[rows].float() - whole).abs() <= step * (values.abs().amax() + whole.abs())).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 36), (1, 1500), (8, 128)])
def test_rows_are_added_as_torch_adds_them(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    total, more = torch.randn(23, *shape).to(dtype), torch.randn(9, *shape).to(dtype)
    rows = torch.randperm(23)[:9]
    expected = total.index_add(0, rows, more)
    add_rows(total, rows, more)
    assert torch.equal(total, expected)


@pytest.mark.skipif(interpreted(), reason="what has gaps is not for the programs")
def test_a_view_with_gaps_is_changed_where_it_lies() -> None:
    wide = torch.randn(6, 2, 8)
    total, rows, more = wide[..., :5], torch.tensor([4, 1]), torch.randn(2, 2, 5)
    expected, rest = total.index_add(0, rows, more), wide[..., 5:].clone()
    add_rows(total, rows, more)
    assert torch.equal(wide[..., :5], expected)
    assert torch.equal(wide[..., 5:], rest)


def test_without_rows_nothing_changes() -> None:
    output, lse = torch.randn(4, 2, 8), torch.randn(2, 4)
    none = torch.empty(0, dtype=torch.int64)
    before = output.clone(), lse.clone()
    merge_into(output, lse, torch.empty(0, 2, 8), torch.empty(2, 0), none)
    add_rows(output, none, torch.empty(0, 2, 8))
    assert torch.equal(output, before[0])
    assert torch.equal(lse, before[1])


def test_infinite_and_missing_numbers_stay_in_their_rows() -> None:
    output, lse = torch.randn(4, 1, 8), torch.randn(1, 4)
    second, second_lse = torch.randn(2, 1, 8), torch.randn(1, 2)
    second[0, 0, 3], second[1, 0, 5] = torch.nan, torch.inf
    merge_into(output, lse, second, second_lse, torch.tensor([1, 3]))
    assert output.isnan().nonzero().tolist() == [[1, 0, 3]]
    assert output.isinf().nonzero().tolist() == [[3, 0, 5]]
