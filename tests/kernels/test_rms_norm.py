"""RMSNorm: transformers' numbers, gradients of the plain formula. Runs without Triton, and in its interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from lydite.kernels import rms_norm

CheckSteps = Callable[..., None]
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
HALF_STEP = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-22}  # four sums for float32
LEAST = {torch.bfloat16: 0, torch.float16: 2.0**-24, torch.float32: 0}  # the step next to zero
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, in the interpreter, of what is not finite


@pytest.fixture(autouse=True)
def without_the_other_way(only_programs: Callable[..., None]) -> None:
    only_programs("rms_norm", "rms_norm_reference", "rms_norm_backward_reference")


def module_of(width: int, dtype: torch.dtype, gemma: bool) -> Any:
    module = (Gemma2RMSNorm if gemma else LlamaRMSNorm)(width, eps=1e-5).to(dtype).requires_grad_(False)
    module.weight.copy_(torch.randn(width))
    return module


def ours(module: Any, x: torch.Tensor) -> torch.Tensor:
    gemma = isinstance(module, Gemma2RMSNorm)
    return rms_norm(x, module.weight, 1e-5, offset=float(gemma), weight_in_float32=gemma)


def exact(module: Any, x: torch.Tensor) -> torch.Tensor:
    scales = module.weight.double() + float(isinstance(module, Gemma2RMSNorm))
    return x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt() * scales


def gradient(y: torch.Tensor, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(y, x, slope.to(y.dtype))[0]


@pytest.mark.parametrize("gemma", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_where_no_sum_rounds_the_numbers_are_transformers_bit_for_bit(dtype: torch.dtype, gemma: bool) -> None:
    module = module_of(64, dtype, gemma)
    x = torch.randint(-30, 31, (5, 7, 64)).to(dtype)
    assert torch.equal(ours(module, x), module(x))


@pytest.mark.parametrize("gemma", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 1), (2, 1, 9, 129), (2100,)])
def test_numbers_and_gradients(
    check_steps: CheckSteps, dtype: torch.dtype, gemma: bool, shape: tuple[int, ...]
) -> None:
    module = module_of(shape[-1], dtype, gemma)
    x = (torch.randn(shape) * 3).to(dtype).requires_grad_()
    slope = torch.randn(shape).to(dtype)
    y = ours(module, x)
    if dtype is not torch.float32:
        check_steps(y, module(x), steps=2)
    wide = x.detach().double().requires_grad_()
    truth = exact(module, wide)
    step = HALF_STEP[dtype]
    least = LEAST[dtype] * (1 + module.weight.abs())
    assert bool(((y - truth).abs() <= 2.05 * step * truth.abs() + least).all()), "two roundings"
    true_gradient = gradient(truth, wide, slope)
    inverse = (wide.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt()
    inner, normed = slope * (truth / (wide * inverse)).detach(), (wide * inverse).detach()
    summed = inverse * (inner.abs() + normed.abs() * (inner * normed).abs().mean(-1, keepdim=True))
    allowed = 1.05 * step * (true_gradient.abs() + summed) + least
    assert bool(((gradient(y, x, slope) - true_gradient).abs() <= allowed).all())


@pytest.mark.parametrize("gemma", [False, True])
def test_a_weight_in_float32_gives_transformers_types(check_steps: CheckSteps, gemma: bool) -> None:
    module = module_of(64, torch.float32, gemma)
    x = torch.randint(-30, 31, (5, 64)).bfloat16().requires_grad_()
    y, theirs = ours(module, x), module(x)
    assert y.dtype is theirs.dtype
    assert torch.equal(y, theirs)
    slope = torch.randn(5, 64)
    check_steps(gradient(y, x, slope), gradient(theirs, x, slope), share=0.05)


def test_an_offset_may_meet_a_rounded_product() -> None:
    x, weight = torch.randint(-30, 31, (3, 64)).bfloat16(), torch.randn(64).bfloat16()
    y = rms_norm(x, weight, 1e-5, offset=1.0, weight_in_float32=False)
    assert torch.equal(y, rms_norm(x, weight + 1, 1e-5, weight_in_float32=False))


def test_strides_do_not_change_numbers() -> None:
    module = module_of(64, torch.bfloat16, False)
    wide = torch.randn(2, 5, 400).bfloat16()
    views = (
        wide[..., 8:392].view(2, 5, 6, 64),  # heads within the tokens of a wider matrix
        wide[..., 8:392].view(2, 5, 6, 64).transpose(1, 2),
        wide[..., :64],
        wide[:, ::2, 1:65],
        wide[:, :, :128:2],
        torch.randn(64, 9).bfloat16().T,
        torch.randn(1, 64).bfloat16().expand(3, 64),
    )
    for view in views:
        x, flat = view.detach().requires_grad_(), view.detach().clone().contiguous().requires_grad_()
        slope = torch.randn(view.shape).bfloat16()
        assert torch.equal(ours(module, x), ours(module, flat))
        expected = gradient(ours(module, flat), flat, slope)
        assert torch.equal(gradient(ours(module, x), x, slope), expected)
        turned = slope.transpose(0, -1).contiguous().transpose(0, -1)
        assert torch.equal(gradient(ours(module, x), x, turned), expected)
    x = wide[..., :64].detach().requires_grad_()
    ours(module, x).sum().backward()
    assert torch.equal(x.grad, gradient(ours(module, x), x, torch.ones(2, 5, 64)))


@pytest.mark.parametrize("gemma", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_stays_in_its_row(check_steps: CheckSteps, dtype: torch.dtype, gemma: bool) -> None:
    module = module_of(70, dtype, gemma)
    x = torch.randn(6, 70)
    x[0, 3], x[1, 69], x[2, 0], x[3] = torch.nan, torch.inf, -torch.inf, 0
    x[4, 0] = torch.finfo(dtype).max
    x = x.to(dtype).requires_grad_()
    slope = torch.randn(6, 70).to(dtype)
    y, theirs = ours(module, x), module(x)
    near = 1e-6 * theirs.double().abs() if dtype is torch.float32 else 0
    check_steps(y, theirs, steps=2, near=near)
    assert torch.equal(
        gradient(y, x, slope).isfinite()[[0, 1, 2, 3, 5]], gradient(theirs, x, slope).isfinite()[[0, 1, 2, 3, 5]]
    )
    assert bool(y[3:].isfinite().all())
    slope[5, 5] = torch.inf
    assert not bool(gradient(ours(module, x), x, slope)[5].isfinite().any())


@settings(max_examples=10)
@given(rows=st.integers(1, 40), width=st.integers(1, 90), power=st.integers(-20, 20), seed=st.integers(0, 99))
def test_a_scale_changes_nothing_and_the_gradient_is_square_to_the_row(
    rows: int, width: int, power: int, seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=draws).requires_grad_()
    weight = torch.randn(width, generator=draws)
    y = rms_norm(x, weight, 0.0, weight_in_float32=False)
    assert torch.equal(rms_norm(x * 2.0**power, weight, 0.0, weight_in_float32=False), y)
    slope = torch.randn(rows, width, generator=draws)
    found = gradient(y, x, slope)
    along = (found * x).sum(-1).abs()
    assert bool((along <= 1e-4 * (weight * slope).abs().sum(-1)).all())


def test_kept_are_the_input_and_a_number_a_row() -> None:
    module = module_of(64, torch.bfloat16, False)
    x = torch.randn(3, 5, 64).bfloat16().requires_grad_()
    kept = ours(module, x).grad_fn.saved_tensors
    assert [one.data_ptr() for one in kept[:2]] == [x.data_ptr(), module.weight.data_ptr()]
    assert [one.nbytes for one in kept[2:]] == [15 * 4]


def test_no_rows_and_other_weights() -> None:
    assert rms_norm(torch.randn(0, 64), torch.ones(64), 1e-5, weight_in_float32=True).shape == (0, 64)
    with pytest.raises(AssertionError, match="frozen"):
        rms_norm(torch.randn(2, 64), torch.ones(64, requires_grad=True), 1e-5, weight_in_float32=True)
    with pytest.raises(AssertionError):
        rms_norm(torch.randn(2, 64), torch.ones(1), 1e-5, weight_in_float32=True)
