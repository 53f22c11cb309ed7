"""Gated activations: transformers' numbers and autograd's gradients. Runs without Triton, and in its interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import pytest
import torch
from torch.nn import functional as F
from transformers.activations import ACT2FN

from lydite.kernels import gated
from lydite.kernels.glu import Activation

CheckSteps = Callable[..., None]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
THEIRS = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
HALF_STEP = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-22}  # some sums for float32
LEAST = {torch.bfloat16: 1e-38, torch.float16: 1e-7, torch.float32: 1e-37}  # below, steps are no longer relative
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, in the interpreter, of what is not finite


@pytest.fixture(autouse=True)
def without_the_other_way(only_programs: Callable[..., None]) -> None:
    only_programs("glu", "gated_reference", "gated_backward_reference")


def plain(gate: torch.Tensor, up: torch.Tensor, activation: Activation) -> torch.Tensor:
    result: torch.Tensor = ACT2FN[THEIRS[activation]](gate) * up
    return result


def parts(shape: Sequence[int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gate, from one tail of the activation to the other, up, and the slope of their product."""
    gate = (torch.randn(shape) * 3).to(dtype).requires_grad_()
    return gate, torch.randn(shape).to(dtype).requires_grad_(), torch.randn(shape).to(dtype)


def last_bits(gate: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """What 1 + erf, 1 + tanh and 1 - sigmoid lose near 0, times what they are multiplied by, up to a third power."""
    return (2.0**-23 * (1 + gate.double().abs() ** 3) * factor.double().abs()).detach()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 341), (1, 2, 1024)])
def test_numbers_and_gradients(
    check_steps: CheckSteps, dtype: torch.dtype, activation: Activation, shape: tuple[int, ...]
) -> None:
    gate, up, slope = parts(shape, dtype)
    got = gated(gate, up, activation)
    found = torch.autograd.grad(got, (gate, up), slope)
    theirs = plain(gate, up, activation)
    expected = (theirs, *torch.autograd.grad(theirs, (gate, up), slope))
    wide = [one.detach().double().requires_grad_() for one in (gate, up)]
    truth = plain(*wide, activation)
    truths = (truth, *torch.autograd.grad(truth, wide, slope.double()))
    others = (up, up * slope, slope)  # what the activation, or its derivative, is multiplied by
    for one, other, true, factor in zip((got, *found), expected, truths, others, strict=True):
        near = last_bits(gate, factor)
        if dtype is not torch.float32:
            check_steps(one, other, steps=2, near=near)
        allowed = 3.1 * HALF_STEP[dtype] * true.abs() + LEAST[dtype] + near
        assert bool(((one - true).abs() <= allowed).all()), "three roundings"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_swiglu_rounds_where_transformers_does(check_steps: CheckSteps, dtype: torch.dtype) -> None:
    gate, up, slope = parts((4, 1500), dtype)
    ours, theirs = gated(gate, up, "silu"), plain(gate, up, "silu")
    check_steps(ours, theirs, share=0.001)
    for one, other in zip(*(torch.autograd.grad(y, (gate, up), slope) for y in (ours, theirs)), strict=True):
        check_steps(one, other, share=0.001)


def test_the_tail_of_gelu_is_at_least_as_near_as_torchs() -> None:
    gate = torch.linspace(-5, -3, 999)
    truth = F.gelu(gate.double(), approximate="tanh")
    ours, theirs = gated(gate, torch.ones(999), "gelu_tanh"), F.gelu(gate, approximate="tanh")
    assert float((ours - truth).abs().max()) <= float((theirs - truth).abs().max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_strides_do_not_change_numbers(activation: Activation) -> None:
    joined = torch.randn(2, 5, 2 * 43).bfloat16()
    slopes = torch.randn(2, 5, 50).bfloat16()
    cases = (
        (*joined.chunk(2, dim=-1), slopes[..., 3:46]),  # gate and up of one product
        (*joined[:, ::2].chunk(2, dim=-1), slopes[:, ::2, :43]),  # rows of two strides
        (joined[..., ::2], joined[..., 1::2], slopes[..., :43]),
        (joined[..., :43], joined[..., 43:].contiguous(), slopes[..., 0:1].expand(2, 5, 43)),
    )
    for gate, up, slope in cases:
        given = [one.detach().requires_grad_() for one in (gate, up)]
        flat = [one.detach().clone().contiguous().requires_grad_() for one in (gate, up)]
        got, expected = gated(*given, activation), gated(*flat, activation)
        assert torch.equal(got, expected)
        found = torch.autograd.grad(got, given, slope)
        assert all(map(torch.equal, found, torch.autograd.grad(expected, flat, slope.contiguous())))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_stays_in_its_place(dtype: torch.dtype, activation: Activation) -> None:
    strange = (torch.nan, torch.inf, -torch.inf, 0.0, 60.0, -2.0)
    gate, up, slope = (one.flatten().to(dtype) for one in torch.meshgrid(*3 * [torch.tensor(strange)], indexing="ij"))
    gate.requires_grad_()
    up.requires_grad_()
    ours, theirs = gated(gate, up, activation), plain(gate, up, activation)
    grads = [torch.autograd.grad(y, (gate, up), slope) for y in (ours, theirs)]
    for one, other in ((ours, theirs), *zip(*grads, strict=True)):
        if activation == "gelu":  # torch's gelu of infinity is, in some types on a CPU, not a number
            one, other = (torch.where(gate == torch.inf, 0, y) for y in (one, other))
        assert torch.equal(one.isnan(), other.isnan())
        assert torch.equal(one.isinf() * one.nan_to_num().sign(), other.isinf() * other.nan_to_num().sign())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_far_tails_are_zero_and_the_gate_itself(activation: Activation) -> None:
    gate = torch.tensor([-3e4, -200.0, 200.0, 3e4]).requires_grad_()
    y = gated(gate, torch.ones(4), activation)
    assert y.tolist() == [0, 0, 200, 3e4]
    assert torch.autograd.grad(y.sum(), gate)[0].tolist() == [0, 0, 1, 1]


def test_kept_are_gate_and_up() -> None:
    gate, up, _ = parts((3, 50), torch.bfloat16)
    kept = gated(gate, up, "silu").grad_fn.saved_tensors
    assert [one.data_ptr() for one in kept] == [gate.data_ptr(), up.data_ptr()]


def test_nothing_and_what_does_not_fit() -> None:
    assert gated(torch.randn(0, 8), torch.randn(0, 8), "silu").shape == (0, 8)
    with pytest.raises(AssertionError):
        gated(torch.randn(2, 8), torch.randn(2, 1), "silu")
    with pytest.raises(AssertionError):
        gated(torch.randn(2, 8), torch.randn(2, 8).bfloat16(), "silu")
