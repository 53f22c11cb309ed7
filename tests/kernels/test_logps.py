"""Log-probabilities of a tile without Triton, against float64 autograd, and how many rows a tile has."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.logit_tiles import ROUNDING, LogitTile, exact_entropy_slope, exact_logps, logit_tiles

from lydite.kernels import logps
from lydite.kernels.logps import LogitShape, tile_logps, tile_rows

TILES = logit_tiles(rows=9, vocabulary=90)


@pytest.fixture(autouse=True)
def without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "off")


@settings(max_examples=60, deadline=None)
@given(TILES, st.integers(1, 4))
def test_values_and_slopes_are_those_of_float64(tile: LogitTile, several: int) -> None:
    product = tile.product.to(tile.kind)
    expected, expected_entropy, expected_slope = exact_logps(product, tile.ids, tile.shape)
    near = 1e-6 * (4 + tile.size)
    found, entropy = torch.full((2, len(product)), torch.nan)
    with pytest.MonkeyPatch.context() as patch:  # a few rows at a time, and the last time fewer
        patch.setattr(logps, "CPU_SCRATCH_BYTES", 4 * product.shape[1] * several)
        tile_logps(product, tile.ids, tile.shape, found, entropy, slope=product, scale=tile.factor)
    torch.testing.assert_close(found.double(), expected, rtol=near, atol=1e-37)
    torch.testing.assert_close(entropy.double(), expected_entropy, rtol=near, atol=near)
    capped, half = tile.shape.softcap is not None, tile.kind is torch.float16
    least = 2e-6 if capped else 6e-8 if half else 1e-37  # 1 - tanh^2 near the cap
    close = near + ROUNDING[tile.kind]
    torch.testing.assert_close(product.double(), tile.scaled(expected_slope), rtol=close, atol=least)


@settings(max_examples=40, deadline=None)
@given(TILES.filter(lambda tile: tile.kind is not torch.float16), st.integers(1, 4))
def test_the_slope_of_the_entropy_is_that_of_float64(tile: LogitTile, several: int) -> None:
    """Beside the other slope, which takes the products' place, and is what it is without this one."""
    product, ids, shape = tile.product.to(tile.kind), tile.ids, tile.shape
    expected = tile.scaled(exact_entropy_slope(product, shape))
    alone, beside, slope = product.clone(), product.clone(), torch.empty_like(product)
    found, entropy = torch.empty(2, len(product))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logps, "CPU_SCRATCH_BYTES", 4 * product.shape[1] * several)
        tile_logps(alone, ids, shape, found, entropy, slope=alone)
        tile_logps(beside, ids, shape, found, entropy, slope=beside, entropy_slope=slope, entropy_scale=tile.factor)
    assert torch.equal(alone, beside)
    # A difference of a logit and the mean logit, each off by its last digits.
    near = 2e-6 * (4 + tile.size) * tile.size * max(1.0, shape.factor) * 3
    torch.testing.assert_close(slope.double(), expected, rtol=max(1e-5, ROUNDING[tile.kind]), atol=near)


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
