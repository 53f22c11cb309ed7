"""Log-probabilities of a tile without Triton, against float64 autograd, and how many rows a tile has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lydite.kernels import logps
from lydite.kernels.logps import LogitShape, tile_logps, tile_rows

ExactLogps = Callable[..., tuple[Tensor, Tensor, Tensor]]


@pytest.fixture(autouse=True)
def without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "off")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9),
    vocabulary=st.integers(2, 90),
    kind=st.sampled_from([torch.bfloat16, torch.float16, torch.float32]),
    spread=st.floats(0.1, 12.0),
    scale=st.sampled_from([1.0, 0.0625, 1.5]),
    softcap=st.sampled_from([None, 2.0, 30.0]),
    temperature=st.sampled_from([1.0, 0.7, 1.3]),
    several=st.integers(1, 4),
    upstream=st.booleans(),
    seed=st.integers(0, 9),
)
def test_values_and_slopes_are_those_of_float64(
    exact_logps: ExactLogps,
    rows: int,
    vocabulary: int,
    kind: torch.dtype,
    spread: float,
    scale: float,
    softcap: float | None,
    temperature: float,
    several: int,
    upstream: bool,
    seed: int,
) -> None:
    source = torch.Generator().manual_seed(seed)
    product = (torch.randn(rows, vocabulary, generator=source) * spread).to(kind)
    ids = torch.randint(vocabulary, (rows,), generator=source)
    ids[0], ids[-1] = vocabulary - 1, 0
    factor = torch.linspace(-3.0, 0.5, rows) if upstream else None
    shape = LogitShape(scale, softcap, temperature)
    expected, expected_entropy, expected_slope = exact_logps(product, ids, shape)
    found, entropy = torch.full((2, rows), torch.nan)
    with pytest.MonkeyPatch.context() as patch:  # a few rows at a time, and the last time fewer
        patch.setattr(logps, "CPU_SCRATCH_BYTES", 4 * vocabulary * several)
        tile_logps(product, ids, shape, found, entropy, slope=product, scale=factor)
    if factor is not None:
        expected_slope = expected_slope * factor.double()[:, None]
    near = 1e-6 * (4 + spread * 5 * max(1.0, scale) / temperature)
    torch.testing.assert_close(found.double(), expected, rtol=near, atol=1e-37)
    torch.testing.assert_close(entropy.double(), expected_entropy, rtol=near, atol=near)
    rounding = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-10, torch.float32: 0.0}[kind]
    least = 2e-6 if softcap is not None else 6e-8 if kind is torch.float16 else 1e-37  # 1 - tanh^2 near the cap
    torch.testing.assert_close(product.double(), expected_slope, rtol=near + rounding, atol=least)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 9),
    vocabulary=st.integers(2, 90),
    kind=st.sampled_from([torch.bfloat16, torch.float32]),
    spread=st.floats(0.1, 12.0),
    scale=st.sampled_from([1.0, 0.0625, 1.5]),
    softcap=st.sampled_from([None, 2.0, 30.0]),
    temperature=st.sampled_from([1.0, 0.7, 1.3]),
    several=st.integers(1, 4),
    upstream=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_slope_of_the_entropy_is_that_of_float64(
    exact_entropy_slope: Callable[..., Tensor],
    rows: int,
    vocabulary: int,
    kind: torch.dtype,
    spread: float,
    scale: float,
    softcap: float | None,
    temperature: float,
    several: int,
    upstream: bool,
    seed: int,
) -> None:
    """Beside the other slope, which takes the products' place, and is what it is without this one."""
    source = torch.Generator().manual_seed(seed)
    product = (torch.randn(rows, vocabulary, generator=source) * spread).to(kind)
    ids = torch.randint(vocabulary, (rows,), generator=source)
    factor = torch.linspace(-3.0, 0.5, rows) if upstream else None
    shape = LogitShape(scale, softcap, temperature)
    expected = exact_entropy_slope(product, shape)
    alone, beside, slope = product.clone(), product.clone(), torch.empty_like(product)
    found, entropy = torch.empty(2, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logps, "CPU_SCRATCH_BYTES", 4 * vocabulary * several)
        tile_logps(alone, ids, shape, found, entropy, slope=alone)
        tile_logps(beside, ids, shape, found, entropy, slope=beside, entropy_slope=slope, entropy_scale=factor)
    assert torch.equal(alone, beside)
    if factor is not None:
        expected = expected * factor.double()[:, None]
    # A difference of a logit and the mean logit, each off by its last digits.
    logits = spread * 5 * max(1.0, scale) / temperature
    near = 2e-6 * (4 + logits) * logits * max(1.0, scale / temperature) * 3
    torch.testing.assert_close(slope.double(), expected, rtol=2.0**-8 if kind is torch.bfloat16 else 1e-5, atol=near)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_makes_its_row_undefined_and_no_other(value: float) -> None:
    product = torch.randn(3, 50)
    product[0, 5] = product[1, 7] = value
    found, entropy = torch.empty(2, 3)
    slope = torch.empty_like(product)
    tile_logps(product, torch.tensor([5, 8, 0]), LogitShape(), found, entropy, slope=slope)
    for one in (found, entropy, slope):
        assert one[:2].isnan().all()
        assert one[2].isfinite().all()


def test_a_tile_that_has_another_type_is_left_as_it_was() -> None:
    product, ids = torch.randn(3, 50), torch.tensor([0, 1, 2])
    before, slope = product.clone(), torch.empty(3, 50, dtype=torch.bfloat16)
    found, entropy = torch.empty(2, 3)
    tile_logps(product, ids, LogitShape(temperature=0.5), found, entropy, slope=slope)
    assert torch.equal(product, before)
    assert slope.float().sum(1).abs().max() < 0.01
    tile_logps(product[:0], ids[:0], LogitShape(), found[:0], entropy[:0])


@pytest.mark.parametrize(
    ("vocabulary", "rows"), [(32000, 1024), (128256, 512), (151936, 512), (262144, 256), (10_000_000, 128)]
)
def test_rows_of_a_tile_on_a_gpu_are_a_power_of_two_that_fits(vocabulary: int, rows: int) -> None:
    assert tile_rows(vocabulary, 2, 1024, cuda=True) == rows
    assert rows == 128 or 6 * vocabulary * rows <= logps.TILE_BYTES
    assert tile_rows(vocabulary, 2, 100, cuda=True) == 100


def test_rows_of_a_tile_on_a_cpu_fit_its_cache() -> None:
    assert tile_rows(49152, 2, 1024, cuda=False) == 256
    assert tile_rows(49152, 4, 1024, cuda=False) == 128
    assert tile_rows(49152, 2, 7, cuda=False) == 7
    assert tile_rows(101, 2, 1024, cuda=False) == 1024
