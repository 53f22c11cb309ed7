"""Weights packed by bitsandbytes itself, since its numbers are what the kernels must give."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch

from lydite.kernels.switch import interpreted

Pack = Callable[..., Any]

# Relative to the norm: sums in another order. In 16 bit a few results are rounded the other way.
NEAR = {torch.float32: 1e-6, torch.float16: 2e-4, torch.bfloat16: 1e-3}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def check_near() -> Callable[[torch.Tensor, torch.Tensor], None]:
    """Asserts that two products are the same but for the order of their sums."""

    def check(got: torch.Tensor, expected: torch.Tensor) -> None:
        assert got.dtype is expected.dtype
        assert got.shape == expected.shape
        far = float((got.double() - expected.double()).norm() / expected.double().norm())
        assert far < NEAR[got.dtype], far

    return check


@pytest.fixture
def pack() -> Pack:
    """Packs a random matrix [rows, columns]; the values of its rows differ by orders of magnitude."""
    from bitsandbytes.nn import Params4bit

    def one(
        rows: int, columns: int, *, nested: bool = True, dtype: torch.dtype = torch.bfloat16, quant_type: str = "nf4"
    ) -> Any:
        draws = torch.Generator().manual_seed(1000 * rows + columns)
        values = torch.randn(rows, columns, generator=draws) * torch.logspace(-3, 1, rows).unsqueeze(1)
        return Params4bit(
            values.to(dtype), requires_grad=False, blocksize=64, compress_statistics=nested, quant_type=quant_type
        ).to("cpu")

    return one


@pytest.fixture
def check_steps() -> Callable[..., None]:
    """Asserts that two tensors differ by a few of their type's numbers, in a few places, and not in what is not finite.

    Where `near` is given, numbers that are no further apart than that count as the same.
    """

    def check(got: torch.Tensor, expected: torch.Tensor, *, steps: int = 1, share: float = 0.01, near: Any = 0) -> None:
        assert got.dtype is expected.dtype
        assert got.shape == expected.shape
        assert torch.equal(got.isnan(), expected.isnan())
        same = expected.isnan() | ((got.double() - expected.double()).abs() <= near)
        apart = torch.where(same, 0, (_place(got) - _place(expected)).abs())
        assert int(apart.max()) <= steps, f"{int(apart.max())} numbers apart"
        assert int((apart > 0).sum()) <= max(2, share * apart.numel()), f"{int((apart > 0).sum())} of {apart.numel()}"

    return check


def _place(values: torch.Tensor) -> torch.Tensor:
    """The place of each number among all those of its type, zero at 0."""
    bits = values.contiguous().view(torch.int16 if values.dtype.itemsize == 2 else torch.int32).long()
    return torch.where(bits < 0, -(bits & (2 ** (8 * values.dtype.itemsize - 1) - 1)), bits)


@pytest.fixture
def only_programs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Takes the way without Triton from a module of `lydite.kernels`, where the interpreter is on."""

    def take(module: str, *names: str) -> None:
        if interpreted():
            for name in names:
                monkeypatch.delattr(import_module(f"lydite.kernels.{module}"), name)

    return take
