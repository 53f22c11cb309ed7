"""A filled micro-batch attends as the one that it was made from."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.plain_attention import PlainCalls

from lydite.policy.fixed_layout import filled_layout, filled_places, size_for, tensors_of
from lydite.policy.flash_attention import two_calls
from lydite.policy.layout import Layout, PackedGroup

CPU = torch.device("cpu")
groups = st.builds(PackedGroup, st.integers(1, 5), st.lists(st.integers(0, 4), max_size=4).map(tuple))
layouts = st.lists(groups, min_size=1, max_size=5).map(lambda made: Layout(tuple(made)))


@settings(deadline=None, max_examples=40)
@given(layouts, st.integers(1, 30), st.integers(0, 99))
def test_what_is_filled_changes_no_output_and_no_gradient(layout: Layout, filling: int, seed: int) -> None:
    size = size_for(layout, layout.tokens + filling)
    assume(size is not None)
    assert size is not None
    filled = filled_layout(layout, size)
    filled.hold(filled_places(layout, size, CPU), CPU)
    draws = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(size.tokens, heads, 8, generator=draws, dtype=torch.float64) for heads in (4, 2, 2)]
    slope = torch.randn(size.tokens, 4, 8, generator=draws, dtype=torch.float64)
    slope[layout.tokens :] = 0.0
    results = []
    for one, calls in ((layout, PlainCalls()), (filled, PlainCalls(filled=True))):
        inputs = [tensor[: one.tokens].clone().requires_grad_() for tensor in tensors]
        output = two_calls(*inputs, one, 0.7, calls)
        slopes = torch.autograd.grad(output, inputs, slope[: one.tokens])
        results.append([output[: layout.tokens], *(found[: layout.tokens] for found in slopes)])
        assert all(bool(found[layout.tokens :].eq(0).all()) for found in slopes), "of the filling nothing is learned"
        assert bool(output.isfinite().all())
    for own, other in zip(*results, strict=True):
        torch.testing.assert_close(own, other, atol=1e-12, rtol=1e-12)


many = st.lists(groups, min_size=1, max_size=12).map(lambda made: Layout(tuple(made)))


@settings(deadline=None, max_examples=80)
@given(many)
def test_the_shapes_follow_from_the_size_and_only_the_filling_is_repeated(layout: Layout) -> None:
    size = size_for(layout, 512)
    assume(size is not None)
    assert size is not None
    tensors = tensors_of(filled_places(layout, size, CPU))
    shapes = [(size.runs + 1,)] * 2 + [(size.groups + 1,)] * 2 + [(size.tokens,)] * 2
    assert [tuple(one.shape) for one in tensors] == shapes
    for places in tensors[4:]:  # what is added to a row of the tokens is added by one program
        rows, counts = places.unique(return_counts=True)
        assert set(rows[counts > 1].tolist()) <= {layout.tokens}


def test_a_size_has_room_for_the_filling() -> None:
    layout = Layout((PackedGroup(3, (2, 2)),))
    assert size_for(layout, 7) is None  # not a token is left to fill
    assert size_for(layout, 8) is not None
    assert size_for(Layout((PackedGroup(3, (0,)),)), 64) is None  # nobody attends to a prompt
