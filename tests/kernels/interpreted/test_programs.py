"""Forward equality of the Triton programs with bitsandbytes and with the plain references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lydite.kernels import dequantise_group_into, dequantise_into, kernel_states, nf4_linear, nf4_weight_of, programs
from lydite.kernels.nf4_linear import Tile, nf4_linear_fused, parts_for, tile_for
from lydite.kernels.reference import dequantise_reference, nf4_linear_reference

Pack = Callable[..., Any]
CheckNear = Callable[[torch.Tensor, torch.Tensor], None]
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that are launched, so that no test passes by the way without Triton."""
    assert all(on for _, on, _ in kernel_states())
    names: list[str] = []
    for name in ("dequantise", "linear", "add_parts"):
        program = getattr(programs, name)
        counted = Counted(program, lambda name=name: names.append(name))
        monkeypatch.setattr(programs, name, counted)
    return names


class Counted:
    def __init__(self, program: Any, count: Callable[[], None]) -> None:
        self.program, self.count = program, count

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        self.count()
        return self.program[grid]


def bitsandbytes(parameter: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight: torch.Tensor = dequantize_4bit(parameter.data, parameter.quant_state)
    return weight


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 64), (65, 192), (33, 1024)])
def test_weights_are_unpacked_bit_for_bit(
    pack: Pack, launches: list[str], dtype: torch.dtype, nested: bool, rows: int, columns: int
) -> None:
    parameter = pack(rows, columns, nested=nested, dtype=dtype)
    out = torch.full((rows, columns), torch.nan, dtype=dtype)
    dequantise_into(nf4_weight_of(parameter), out)
    assert torch.equal(out, bitsandbytes(parameter))
    assert launches == ["dequantise"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_group_fills_its_rows_and_nothing_else(pack: Pack, launches: list[str], dtype: torch.dtype) -> None:
    parameters = [pack(rows, 192, nested=rows != 3, dtype=dtype) for rows in (21, 3, 8)]
    wide = torch.full((34, 200), torch.nan, dtype=dtype)
    dequantise_group_into([nf4_weight_of(one) for one in parameters], wide[1:-1, 4:-4])
    expected = torch.cat([bitsandbytes(one) for one in parameters])
    assert torch.equal(wide[1:-1, 4:-4], expected)
    assert int(wide.isnan().sum()) == wide.numel() - expected.numel()
    whole = torch.full((32, 192), torch.nan, dtype=dtype)
    dequantise_group_into([nf4_weight_of(one) for one in parameters], whole)
    assert torch.equal(whole, expected)
    assert launches == 6 * ["dequantise"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "out", "features", "nested"),
    [(1, 192, 64, True), (3, 128, 320, False), (17, 65, 256, True), (33, 130, 192, True), (65, 7, 128, True)],
)
def test_the_product_is_the_references(
    pack: Pack,
    check_near: CheckNear,
    launches: list[str],
    dtype: torch.dtype,
    rows: int,
    out: int,
    features: int,
    nested: bool,
) -> None:
    weight = nf4_weight_of(pack(out, features, nested=nested, dtype=dtype))
    x = torch.randn(rows, features).to(dtype)
    y = nf4_linear_fused(x, weight)  # whatever number of rows nf4_linear takes it for
    check_near(y, nf4_linear_reference(x, [weight]))
    assert launches == ["linear"]


def test_a_product_in_parts_is_the_same_each_time(pack: Pack, check_near: CheckNear, launches: list[str]) -> None:
    weight = nf4_weight_of(pack(70, 1088))
    assert parts_for(5, weight, tile_for(5), 1) == (4, 320), "the last part is shorter"
    x = torch.randn(5, 1088).bfloat16()
    first, second = nf4_linear(x, weight), nf4_linear(x, weight)
    assert torch.equal(first, second)
    check_near(first, nf4_linear_reference(x, [weight]))
    assert launches == 2 * ["linear", "add_parts"]


def test_tiles_of_two_blocks_give_the_same(pack: Pack, check_near: CheckNear) -> None:
    weight = nf4_weight_of(pack(70, 384))
    x = torch.randn(5, 384).bfloat16()
    two = nf4_linear_fused(x, weight, tile=Tile(bm=16, bn=64, bk=128, warps=4, stages=3))
    check_near(two, nf4_linear_reference(x, [weight]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_multiplied_are_the_rounded_weights(pack: Pack, dtype: torch.dtype) -> None:
    weight = nf4_weight_of(pack(40, 128, dtype=dtype))
    unpacked = dequantise_reference(weight, dtype).float()
    x = torch.zeros(64, 128)
    plus, minus = torch.arange(64), torch.arange(64, 128)
    x[plus, plus], x[plus, minus] = 1, -1  # a difference keeps the bits that rounding takes
    y = nf4_linear(x.to(dtype), weight)
    assert torch.equal(y, (unpacked[:, plus] - unpacked[:, minus]).T.to(dtype))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_stays_in_its_row(pack: Pack, dtype: torch.dtype) -> None:
    weight = nf4_weight_of(pack(70, 192, dtype=dtype))
    x = torch.randn(4, 192)
    x[0, 5], x[1, 190], x[2, 64] = torch.nan, torch.inf, -torch.inf
    x = x.to(dtype)
    y, expected = nf4_linear(x, weight), nf4_linear_reference(x, [weight])
    assert bool(y[0].isnan().all())
    assert torch.equal(y.isnan(), expected.isnan())
    assert torch.equal(y.isinf() * y.sign(), expected.isinf() * expected.sign())
    assert bool(y[3].isfinite().all())


def test_rows_and_results_may_be_ranges_of_something_larger(pack: Pack, check_near: CheckNear) -> None:
    weight = nf4_weight_of(pack(70, 128))
    wide = torch.randn(3, 4, 200).bfloat16()
    x = wide[..., 36:164]
    expected = nf4_linear_reference(x, [weight])
    check_near(nf4_linear(x, weight), expected)
    rows = wide.view(12, 200)[:, 36:164]
    check_near(nf4_linear(rows, weight).view(3, 4, 70), expected)
    check_near(nf4_linear(rows.T.contiguous().T, weight).view(3, 4, 70), expected)
    y = torch.full((12, 80), torch.nan, dtype=torch.bfloat16)
    assert nf4_linear(rows, weight, out=y[:, 5:75]).data_ptr() == y[:, 5:].data_ptr()
    check_near(y[:, 5:75].reshape(3, 4, 70), expected)
    assert int(y.isnan().sum()) == 12 * 10
    assert nf4_linear(x[:0], weight).shape == (0, 4, 70)


def test_many_rows_are_multiplied_by_the_unpacked_weight(
    pack: Pack, check_near: CheckNear, launches: list[str]
) -> None:
    weight = nf4_weight_of(pack(8, 64))
    x = torch.randn(129, 64).bfloat16()
    check_near(nf4_linear(x, weight), nf4_linear_reference(x, [weight]))
    assert launches == ["dequantise"]
