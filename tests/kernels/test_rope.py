"""Rotary positions: transformers' numbers bit for bit, both ways. Runs without Triton, and in its interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as whole
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb as partial

from lydite.kernels import rotate
from lydite.kernels.switch import interpreted

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, in the interpreter, of what is not finite


@pytest.fixture(autouse=True)
def without_the_other_way(only_programs: Callable[..., None]) -> None:
    only_programs("rope", "rotate_reference", "rotate_backward_reference")


def angles(positions: torch.Tensor, rotary: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [B, S, R] of positions [B, S]."""
    each = positions[..., None] * 100.0 ** (-torch.arange(0, rotary, 2) / rotary)
    both = torch.cat((each, each), dim=-1)
    return both.cos().to(dtype), both.sin().to(dtype)


def heads(batch: int, tokens: int, query: int, key: int, width: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries and keys as a layer has them: tokens first in memory."""
    return [torch.randn(batch, tokens, one, width).to(dtype).transpose(1, 2).requires_grad_() for one in (query, key)]


def gradients(y: Sequence[torch.Tensor], x: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    draws = torch.Generator().manual_seed(3)
    return torch.autograd.grad(y, x, [torch.randn(one.shape, generator=draws).to(one.dtype) for one in y])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "tokens", "query", "key", "width", "rotary"),
    [(1, 2, 14, 2, 64, 64), (2, 2, 3, 1, 20, 20), (1, 1, 1, 1, 2, 2), (2, 2, 5, 5, 18, 6), (1, 2, 2, 1, 96, 64)],
)
def test_numbers_and_gradients_are_transformers_bit_for_bit(
    dtype: torch.dtype, batch: int, tokens: int, query: int, key: int, width: int, rotary: int
) -> None:
    x = heads(batch, tokens, query, key, width, dtype)
    cos, sin = angles(torch.randint(0, 500, (batch, tokens)), rotary, dtype)
    ours, theirs = rotate(*x, cos, sin), (whole if width == rotary else partial)(*x, cos, sin)
    for one, other in zip((*ours, *gradients(ours, x)), (*theirs, *gradients(theirs, x)), strict=True):
        assert one.dtype is other.dtype
        assert torch.equal(one, other)
    if interpreted():
        assert [one.stride() for one in ours] == [one.stride() for one in x], "tokens stay first in memory"


@pytest.mark.parametrize("cos_dtype", [torch.float32, torch.bfloat16])
def test_cosines_of_another_type_give_transformers_types(cos_dtype: torch.dtype) -> None:
    x = heads(1, 3, 4, 2, 16, torch.float16)
    cos, sin = angles(torch.arange(3)[None], 16, cos_dtype)
    ours, theirs = rotate(*x, cos, sin), whole(*x, cos, sin)
    for one, other in zip((*ours, *gradients(ours, x)), (*theirs, *gradients(theirs, x)), strict=True):
        assert one.dtype is other.dtype
        assert torch.equal(one, other)


def test_halves_of_cos_and_sin_may_differ() -> None:
    x = heads(1, 3, 2, 1, 8, torch.float32)
    cos, sin = torch.randn(1, 3, 8), torch.randn(1, 3, 8)
    ours, theirs = rotate(*x, cos, sin), whole(*x, cos, sin)
    for one, other in zip((*ours, *gradients(ours, x)), (*theirs, *gradients(theirs, x)), strict=True):
        assert torch.equal(one, other)


def test_strides_do_not_change_numbers() -> None:
    mixed = torch.randn(2, 3, 7 * 16 + 3).bfloat16()
    query, key = mixed[..., 1 : 4 * 16 + 1].view(2, 3, 4, 16), mixed[..., 4 * 16 + 1 : 6 * 16 + 1].view(2, 3, 2, 16)
    cos, sin = angles(torch.arange(3)[None], 16, torch.bfloat16)  # one batch of positions for both
    expected = rotate(query.transpose(1, 2).contiguous(), key.transpose(1, 2).contiguous(), cos, sin)
    backwards = torch.randn(2, 4, 16, 3).bfloat16().copy_(query.permute(0, 2, 3, 1)).transpose(2, 3)
    wide = torch.cat((sin, cos), dim=-1)
    for one, cosines, sines in (
        (query.transpose(1, 2), cos, sin),
        (backwards, cos, sin),
        (query.transpose(1, 2), cos.repeat_interleave(2, dim=-1)[..., ::2], wide[..., :16]),
    ):
        given = one.detach().requires_grad_(), key.transpose(1, 2).detach().requires_grad_()
        got = rotate(*given, cosines, sines)
        assert all(map(torch.equal, got, expected))
        found = torch.autograd.grad(got[0].sum() + got[1].sum(), given)
        ones = rotate(*(torch.ones_like(one) for one in given), cos, -sin)
        assert all(map(torch.equal, found, ones)), "a turn's gradient is the turn back"


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_stays_in_its_pair(dtype: torch.dtype) -> None:
    x = heads(1, 4, 3, 1, 12, dtype)
    with torch.no_grad():
        x[0][0, 1, 2, 3], x[0][0, 0, 0, 11], x[1][0, 0, 3, 0] = torch.nan, torch.inf, -torch.inf
    cos, sin = angles(torch.arange(1, 5)[None], 8, dtype)
    ours, theirs = rotate(*x, cos, sin), partial(*x, cos, sin)
    for one, other in zip((*ours, *gradients(ours, x)), (*theirs, *gradients(theirs, x)), strict=True):
        assert torch.equal(one.nan_to_num(7, 8, 9), other.nan_to_num(7, 8, 9))
    assert ours[0].isnan().nonzero().tolist() == [[0, 1, 2, 3], [0, 1, 2, 7]]
    assert ours[0].isinf().nonzero().tolist() == [[0, 0, 0, 11]]


@settings(max_examples=10)
@given(first=st.integers(0, 3000), second=st.integers(0, 3000), shift=st.integers(0, 3000), seed=st.integers(0, 99))
def test_only_distances_count(first: int, second: int, shift: int, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    query, key = (torch.randn(1, 2, 1, 16, generator=draws).expand(1, 2, 2, 16) for _ in range(2))
    at, others = torch.tensor([[first, first + shift]]), torch.tensor([[second, second + shift]])
    turned, _ = rotate(query, key, *angles(at.double(), 16, torch.float32))
    _, other = rotate(query, key, *angles(others.double(), 16, torch.float32))
    scores = (turned * other).sum(-1)
    assert torch.allclose(scores[..., 0], scores[..., 1], atol=1e-4)
    assert torch.allclose(turned.norm(dim=-1), query.norm(dim=-1), rtol=1e-5)


def test_kept_are_cos_and_sin() -> None:
    x = heads(1, 4, 2, 1, 8, torch.bfloat16)
    cos, sin = angles(torch.arange(4)[None], 8, torch.bfloat16)
    kept = rotate(*x, cos, sin)[0].grad_fn.saved_tensors
    assert [one.data_ptr() for one in kept] == [cos.data_ptr(), sin.data_ptr()]


def test_no_tokens_and_shapes_that_do_not_fit() -> None:
    query, key = torch.randn(1, 2, 0, 8), torch.randn(1, 1, 0, 8)
    cos = torch.randn(1, 0, 8)
    assert [one.shape for one in rotate(query, key, cos, cos)] == [(1, 2, 0, 8), (1, 1, 0, 8)]
    for wrong in (torch.randn(1, 3, 7), torch.randn(1, 3, 10)):
        with pytest.raises(AssertionError, match="cannot be turned in pairs"):
            rotate(torch.randn(1, 2, 3, 8), torch.randn(1, 2, 3, 8), wrong, wrong)
