"""Packed attention against one dense softmax over the whole micro-batch, forward and gradients, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_attention import PlainCalls, repeated
from torch import Tensor

from lydite.policy.flash_attention import one_call, two_calls
from lydite.policy.layout import Layout, PackedGroup
from lydite.policy.packed_attention import packed_attention
from lydite.policy.varlen import VarlenCalls, flash_takes

groups = st.builds(PackedGroup, st.integers(1, 7), st.lists(st.integers(0, 6), max_size=4).map(tuple))
layouts = st.lists(groups, min_size=1, max_size=4).map(lambda made: Layout(tuple(made)))
heads = st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1)])
SCALE = 0.7


def dense(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, window: int | None = None, softcap: float | None = None
) -> Tensor:
    """The definition: a softmax over all S tokens, of which each sees what the layout's description says."""
    owners = [
        (number, part)
        for number, group in enumerate(layout.groups)
        for part, length in enumerate((group.prompt, *group.completions))
        for _ in range(length)
    ]
    positions = layout.positions()
    seen = torch.tensor([
        [
            group == other and part in (0, mine) and at <= place and (window is None or place - at < window)
            for (other, part), at in zip(owners, positions, strict=True)
        ]
        for (group, mine), place in zip(owners, positions, strict=True)
    ])  # fmt: skip
    scores = torch.einsum("qhd,khd->hqk", query, repeated(key, query)) * SCALE
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -math.inf).softmax(-1), repeated(value, query))


def drawn(layout: Layout, count: tuple[int, int], seed: int) -> tuple[Tensor, ...]:
    source = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(layout.tokens, each, 8, generator=source, dtype=torch.float64).requires_grad_()
        for each in (count[0], count[1], count[1])
    )
    return query, key, value


def assert_agree(ours: Tensor, expected: Tensor, inputs: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-10, rtol=1e-10)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    mine = torch.autograd.grad((ours * weights).sum(), inputs, retain_graph=True)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@settings(deadline=None, max_examples=40)
@given(layouts, heads, st.integers(0, 99))
def test_two_merged_calls_are_one_softmax(layout: Layout, count: tuple[int, int], seed: int) -> None:
    inputs = drawn(layout, count, seed)
    calls: VarlenCalls = PlainCalls()
    assert_agree(two_calls(*inputs, layout, SCALE, calls), dense(*inputs, layout), inputs)


@settings(deadline=None, max_examples=40)
@given(layouts, heads, st.integers(1, 14), st.integers(0, 99))
def test_one_call_with_a_window_is_one_softmax(layout: Layout, count: tuple[int, int], window: int, seed: int) -> None:
    inputs = drawn(layout, count, seed)
    calls: VarlenCalls = PlainCalls()
    assert_agree(one_call(*inputs, layout, SCALE, window, calls), dense(*inputs, layout, window), inputs)


@settings(deadline=None, max_examples=40)
@given(layouts, heads, st.none() | st.integers(1, 14), st.none() | st.just(1.5), st.integers(0, 99))
def test_group_by_group_is_one_softmax(
    layout: Layout, count: tuple[int, int], window: int | None, softcap: float | None, seed: int
) -> None:
    inputs = drawn(layout, count, seed)
    query, key, value = (one.transpose(0, 1)[None] for one in inputs)
    ours = packed_attention(query, key, value, layout, scale=SCALE, window=window, softcap=softcap)
    assert ours.shape == (1, layout.tokens, count[0], 8)
    assert_agree(ours[0], dense(*inputs, layout, window, softcap), inputs)


def test_a_group_asks_for_its_prompt_once() -> None:
    layout = Layout((PackedGroup(3, (2, 0, 4)), PackedGroup(5, (0,)), PackedGroup(2, (1,))))
    calls = PlainCalls()
    two_calls(*drawn(layout, (2, 1), 0), layout, SCALE, calls)
    assert calls.seen == [
        ([0, 3, 5, 9, 14, 16, 17], [0, 3, 5, 9, 14, 16, 17], True),
        ([0, 6, 7], [0, 3, 5], False),  # the prompt in the middle has no token behind it that could ask
    ]


def test_a_window_reaches_no_further_into_the_prompt_than_it_must() -> None:
    layout, calls = Layout((PackedGroup(5, (2, 0, 1)), PackedGroup(1, (1,)))), PlainCalls()
    one_call(*drawn(layout, (2, 1), 0), layout, SCALE, 3, calls)
    assert calls.seen == [([0, 5, 7, 8, 9, 10], [0, 5, 9, 12, 13, 15], True)]
    keys = [0, 1, 2, 3, 4, 3, 4, 5, 6, 3, 4, 7, 8, 8, 9]
    assert layout.windowed(3, torch.device("cpu")).keys.tolist() == keys


def test_prompts_alone_are_one_call() -> None:
    layout = Layout((PackedGroup(3, (0, 0)), PackedGroup(1, ())))
    calls = PlainCalls()
    inputs = drawn(layout, (2, 1), 0)
    assert_agree(two_calls(*inputs, layout, SCALE, calls), dense(*inputs, layout), inputs)
    assert len(calls.seen) == 1


def test_what_all_layers_share_is_made_once() -> None:
    layout, cpu = Layout((PackedGroup(3, (2, 1)), PackedGroup(3, (2, 2)))), torch.device("cpu")
    assert layout.places(cpu) is layout.places(cpu)
    assert layout.windowed(2, cpu) is layout.windowed(2, cpu)
    assert layout.filled(0, cpu) is layout.filled(0, cpu) is not None
    assert layout.filled(1, cpu) is None
    mask = layout.mask(2, 5, None, torch.float32, cpu)
    assert layout.mask(2, 5, 5, torch.float32, cpu) is mask  # no key is further behind
    assert layout.mask(2, 5, 4, torch.float32, cpu) is not mask


def test_dropped_probabilities_are_scaled_up() -> None:
    layout = Layout((PackedGroup(200, (200,)),))
    query, key = torch.zeros(1, 1, 400, 8), torch.randn(1, 1, 400, 8)
    for softcap in (None, 2.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found = packed_attention(
                query, key, torch.ones(1, 1, 400, 8), layout, scale=1.0, softcap=softcap, dropout=0.5
            )
        assert found.std() > 0.01
        assert abs(float(found[:, 100:].mean()) - 1.0) < 0.05


def test_another_length_than_the_layouts_is_refused() -> None:
    layout = Layout((PackedGroup(3, (2,)),))
    wrong = torch.zeros(1, 2, 6, 8)
    with pytest.raises(ValueError, match="5 tokens"):
        packed_attention(wrong, wrong, wrong, layout, scale=1.0)


def test_flash_is_for_cuda() -> None:
    tensor = torch.zeros(1, 2, 6, 64, dtype=torch.bfloat16)
    assert not flash_takes(tensor, tensor)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("width", [64, 80, 128, 256])
@pytest.mark.parametrize("count", [(2, 2), (6, 2)])
@pytest.mark.parametrize("window", [None, 50])
@pytest.mark.parametrize(
    "made",
    [
        ((PackedGroup(130, (70, 1, 0, 300)), PackedGroup(1, (5,)), PackedGroup(64, (0,)), PackedGroup(9, (64, 64)))),
        ((PackedGroup(1, (1, 1)),)),
        ((PackedGroup(17, (0,)),)),
    ],
)
def test_flash_is_the_dense_softmax(
    width: int, count: tuple[int, int], window: int | None, made: tuple[PackedGroup, ...]
) -> None:
    layout, cuda = Layout(made), torch.device("cuda")
    torch.manual_seed(0)
    inputs = tuple(
        torch.randn(1, layout.tokens, each, width, device=cuda).requires_grad_()
        for each in (count[0], count[1], count[1])
    )
    weights = torch.randn(1, layout.tokens, count[0], width, device=cuda)
    exact = packed_attention(*(one.transpose(1, 2) for one in inputs), layout, scale=width**-0.5, window=window)
    expected = torch.autograd.grad((exact * weights).sum(), inputs)
    low = tuple(one.detach().bfloat16().requires_grad_() for one in inputs)
    assert flash_takes(low[0], low[2])
    ours = packed_attention(*(one.transpose(1, 2) for one in low), layout, scale=width**-0.5, window=window)
    found = torch.autograd.grad((ours * weights.bfloat16()).sum(), low)
    # bf16 keeps 8 bits: 0.4% of each number, here of the norm of all.
    for one, other in zip((ours, *found), (exact, *expected), strict=True):
        assert float((one.float() - other).norm()) <= 0.01 * float(other.norm())
