"""The log-probability programs against float64 autograd, and against the way without Triton."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from support.logit_tiles import DTYPES, ROUNDING, LogitTile, exact_entropy_slope, exact_logps, logit_tiles
from torch import Tensor

from lydite.kernels import logps, programs_logps
from lydite.kernels.logps import LogitShape, tile_logps
from lydite.objective import token_logps
from lydite.policy.head import Head

TILES = logit_tiles(rows=3, vocabulary=700)
SMALL = {"PART": 256, "FOLD_BLOCK": 64, "SLOPE_BLOCK": 128}


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that are launched, so that no test passes by the way without Triton."""
    names: list[str] = []
    for name in ("fold", "merge", "slopes"):
        monkeypatch.setattr(programs_logps, name, Counted(getattr(programs_logps, name), name, names))
    return names


class Counted:
    def __init__(self, program: Any, name: str, names: list[str]) -> None:
        self.program, self.name, self.names = program, name, names

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        self.names.append(self.name)
        return self.program[grid]


@contextmanager
def small_blocks() -> Iterator[None]:
    """While open, a few hundred products take several blocks and parts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SMALL.items():
            patch.setattr(logps, name, size)
        yield


def computed(
    product: Tensor, ids: Tensor, shape: LogitShape, kind: torch.dtype, scale: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    found, entropy = torch.full((2, ids.shape[0]), torch.nan)
    slope = torch.full(product.shape, torch.nan, dtype=kind)
    tile_logps(product, ids, shape, found, entropy, slope=slope, scale=scale)
    return found, entropy, slope


@settings(max_examples=40, deadline=None)
@given(TILES)
def test_values_and_slopes_are_those_of_float64(tile: LogitTile) -> None:
    with small_blocks():
        found, entropy, slope = computed(tile.product, tile.ids, tile.shape, tile.kind, tile.factor)
    expected, expected_entropy, expected_slope = exact_logps(tile.product, tile.ids, tile.shape)
    # A logit is off by its last digit or two, which is what log p and p are then off by, however small they are.
    near = 1e-6 * (4 + tile.size)
    torch.testing.assert_close(found.double(), expected, rtol=near, atol=1e-37)
    torch.testing.assert_close(entropy.double(), expected_entropy, rtol=near, atol=near)
    capped, half = tile.shape.softcap is not None, tile.kind is torch.float16
    least = 6e-8 if half else 1e-14 if capped else 1e-37  # float64's 1 - tanh^2
    close = near + ROUNDING[tile.kind]
    torch.testing.assert_close(slope.double(), tile.scaled(expected_slope), rtol=close, atol=least)


@settings(max_examples=15, deadline=None)
@given(TILES)
def test_the_slope_of_the_entropy_is_that_of_float64(tile: LogitTile) -> None:
    slope = torch.full(tile.product.shape, torch.nan, dtype=tile.kind)
    found, entropy = torch.empty(2, len(slope))
    with small_blocks():
        tile_logps(tile.product, tile.ids, tile.shape, found, entropy, entropy_slope=slope, entropy_scale=tile.factor)
    expected = tile.scaled(exact_entropy_slope(tile.product, tile.shape))
    near = 1e-6 * (4 + tile.size) * (1 + tile.size) * max(1.0, tile.shape.factor)
    torch.testing.assert_close(slope.double(), expected, rtol=1e-5 + ROUNDING[tile.kind], atol=near)


@pytest.mark.parametrize("kind", DTYPES)
def test_a_vocabulary_of_two_parts_and_an_odd_end(launches: list[str], kind: torch.dtype) -> None:
    vocabulary = logps.PART + 235
    product = torch.randn(2, vocabulary) * 3
    ids = torch.tensor([vocabulary - 1, logps.PART - 1])
    found, entropy, slope = computed(product, ids, LogitShape(temperature=0.9), kind)
    expected, expected_entropy, expected_slope = exact_logps(product, ids, LogitShape(temperature=0.9))
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(entropy.double(), expected_entropy, rtol=1e-6, atol=0)
    least = 6e-8 if kind is torch.float16 else 0.0
    torch.testing.assert_close(slope.double(), expected_slope, rtol=2e-5 + ROUNDING[kind], atol=least)
    assert launches == ["fold", "merge", "slopes"]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_the_slope_may_take_the_place_of_the_products(launches: list[str], kind: torch.dtype) -> None:
    """As on a CPU; and rows may lie apart, as on a GPU where V is odd."""
    wide = torch.randn(3, 400).to(kind)
    product, ids = wide[:, :333], torch.tensor([0, 332, 7])
    before, around = product.clone(), wide[:, 333:].clone()
    expected = computed(before, ids, LogitShape(), kind)
    found, entropy = torch.empty(2, 3)
    tile_logps(product, ids, LogitShape(), found, entropy)
    assert torch.equal(product, before), "without a slope nothing is written"
    assert launches == ["fold", "merge", "slopes", "fold", "merge"]
    assert torch.equal(found, expected[0])
    tile_logps(product, ids, LogitShape(), found, entropy, slope=product)
    assert torch.equal(found, expected[0])
    assert torch.equal(entropy, expected[1])
    assert torch.equal(product, expected[2])
    assert torch.equal(wide[:, 333:], around)


def test_slopes_are_rounded_to_nearest() -> None:
    product, ids = torch.randn(2, 500), torch.tensor([3, 4])
    whole, rounded = (computed(product, ids, LogitShape(), kind)[2] for kind in (torch.float32, torch.bfloat16))
    assert torch.equal(rounded, whole.bfloat16())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("softcap", [None, 30.0])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_as_without_triton(
    monkeypatch: pytest.MonkeyPatch, launches: list[str], value: float, softcap: float | None
) -> None:
    product = torch.randn(4, 333)
    product[0, 5] = product[1, 7] = product[2, 332] = value
    ids, shape = torch.tensor([5, 8, 0, 9]), LogitShape(softcap=softcap)
    found = computed(product, ids, shape, torch.float32)
    assert len(launches) == 3
    monkeypatch.setenv("LYDITE_KERNELS", "logps")
    expected = computed(product, ids, shape, torch.float32)
    assert len(launches) == 3
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-5, atol=1e-6, equal_nan=True)
        assert bool(mine[3].isfinite().all()), "the row beside them"
    undefined = value != value or (value == torch.inf and softcap is None)
    assert bool(found[0][:3].isnan().all()) is undefined


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_far_logits_and_a_vocabulary_of_one() -> None:
    product = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]])
    found, entropy, slope = computed(product, torch.tensor([0, 0]), LogitShape(), torch.float32)
    assert found.tolist() == [0.0, -2000.0]
    assert entropy.tolist() == [0.0, 0.0]
    assert slope.tolist() == [[0.0, 0.0], [1.0, -1.0]]
    found, entropy, slope = computed(torch.tensor([[3.0]]), torch.tensor([0]), LogitShape(), torch.float32)
    assert (found.item(), entropy.item(), slope.item()) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("ahead", [10.0, 26.0, 60.0])
def test_a_nearly_certain_token_keeps_its_digits(ahead: float) -> None:
    product = torch.randn(1, 300) * 0.1
    product[0, 123] = ahead
    found, _, slope = computed(product, torch.tensor([123]), LogitShape(), torch.float32)
    expected, _, expected_slope = exact_logps(product, torch.tensor([123]), LogitShape())
    assert -0.02 < expected.item() < 0
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=0)
    torch.testing.assert_close(slope.double(), expected_slope, rtol=2e-5, atol=0)


@pytest.mark.parametrize("of_entropy", [False, True])
@pytest.mark.parametrize("train_head", [False, True])
@pytest.mark.parametrize("kind", DTYPES)
def test_the_whole_head_is_as_without_triton(
    monkeypatch: pytest.MonkeyPatch, launches: list[str], kind: torch.dtype, train_head: bool, of_entropy: bool
) -> None:
    weight, bias, hidden = torch.randn(331, 16) * 0.5, torch.randn(331), torch.randn(7, 16)
    ids, upstream = torch.randint(331, (7,)), torch.linspace(-2, 3, 7)
    results = []
    for _ in range(2):
        leaf = hidden.to(kind).requires_grad_()
        head = Head(weight.to(kind).requires_grad_(train_head), bias.to(kind).requires_grad_(train_head), 0.5, 20.0)
        found = token_logps(leaf, head, ids, temperature=0.8, chunk_size=3, entropy_gradient=of_entropy)
        loss = (found.logps * upstream).sum()
        torch.autograd.backward(loss + (found.entropy * upstream.flip(0)).sum() if of_entropy else loss)
        gradients = [one.grad for one in (leaf, head.weight, head.bias) if one is not None and one.requires_grad]
        results.append([found.logps.detach(), found.entropy.detach(), *gradients])
        monkeypatch.setenv("LYDITE_KERNELS", "logps")
    assert launches.count("slopes") == (6 if of_entropy else 3)
    assert launches.count("fold") == (6 if train_head else 3)
    for mine, theirs in zip(*results, strict=True):
        assert mine.dtype is theirs.dtype
        near = 1e-5 if mine.dtype is torch.float32 else 0.01
        torch.testing.assert_close(mine, theirs, rtol=near, atol=near)
