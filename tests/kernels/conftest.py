"""Weights packed by bitsandbytes itself, since its numbers are what the kernels must give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

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
