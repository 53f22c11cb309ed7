"""Reading bitsandbytes' weights, what they mean in plain torch, and the way without Triton."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import ModelError
from lydite.kernels import dequantise_group_into, dequantise_into, nf4_linear, nf4_weight_of
from lydite.kernels.nf4_linear import MOST_PARTS, parts_for, tile_for
from lydite.kernels.reference import dequantise_reference, nf4_linear_reference

Pack = Callable[..., Any]
CheckNear = Callable[[torch.Tensor, torch.Tensor], None]
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@pytest.fixture(autouse=True)
def without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "off")


def unpacked(parameter: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight: torch.Tensor = dequantize_4bit(parameter.data, parameter.quant_state)
    return weight


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_reference_is_bitsandbytes_bit_for_bit(pack: Pack, dtype: torch.dtype, nested: bool) -> None:
    parameter = pack(37, 320, nested=nested, dtype=dtype)
    weight = nf4_weight_of(parameter)
    assert weight.nested is nested
    assert torch.equal(dequantise_reference(weight, dtype), unpacked(parameter))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_without_triton_the_same_functions_give_the_same(
    pack: Pack, check_near: CheckNear, dtype: torch.dtype, nested: bool
) -> None:
    parameters = [pack(rows, 128, nested=nested, dtype=dtype) for rows in (5, 3)]
    weights = [nf4_weight_of(one) for one in parameters]
    expected = torch.cat([unpacked(one) for one in parameters])
    wide = torch.full((9, 130), torch.nan, dtype=dtype)
    dequantise_group_into(weights, wide[1:, 1:-1])
    assert torch.equal(wide[1:, 1:-1], expected)
    assert int(wide.isnan().sum()) == wide.numel() - expected.numel(), "what lies around it is untouched"
    whole = torch.empty(8, 128, dtype=dtype)
    dequantise_group_into(weights, whole)
    assert torch.equal(whole, expected)
    x = torch.randn(2, 3, 128).to(dtype)
    check_near(nf4_linear(x, weights[0]), nf4_linear_reference(x, weights[:1]))
    y = torch.empty(6, 8, dtype=dtype)
    nf4_linear(x.view(6, 128), weights[0], out=y[:, :5])
    nf4_linear(x.view(6, 128), weights[1], out=y[:, 5:])
    check_near(y, nf4_linear_reference(x.view(6, 128), weights))


def test_nothing_is_copied(pack: Pack) -> None:
    parameter = pack(8, 128)
    state = parameter.quant_state
    weight = nf4_weight_of(parameter)
    ours = (weight.packed, weight.code, weight.absmax, weight.absmax_code, weight.absmax2, weight.offset)
    theirs = (parameter, state.code, state.absmax, state.state2.code, state.state2.absmax, state.offset)
    assert [one.data_ptr() for one in ours if one is not None] == [one.data_ptr() for one in theirs]
    assert nf4_weight_of(SimpleModule(parameter)).packed.data_ptr() == parameter.data_ptr()


class SimpleModule(torch.nn.Module):
    def __init__(self, weight: Any) -> None:
        super().__init__()
        self.weight = weight


def test_other_weights_are_refused(pack: Pack) -> None:
    with pytest.raises(ModelError, match="a Linear with weights in 4 bit is wanted, and this one's are not packed"):
        nf4_weight_of(torch.nn.Linear(64, 4))
    with pytest.raises(ModelError, match="not fp4 in blocks of 64"):
        nf4_weight_of(pack(4, 64, quant_type="fp4"))
    state = SimpleNamespace(quant_type="nf4", blocksize=64, state2=SimpleNamespace(blocksize=128))
    with pytest.raises(ModelError, match="scales in blocks of 256 are wanted, not of 128"):
        nf4_weight_of(SimpleNamespace(quant_state=state))


def test_a_wrong_shape_is_noticed(pack: Pack) -> None:
    weight = nf4_weight_of(pack(4, 64))
    with pytest.raises(AssertionError):
        dequantise_into(weight, torch.empty(4, 128))
    with pytest.raises(AssertionError):
        dequantise_into(weight, torch.empty(64, 4).T)
    with pytest.raises(AssertionError):
        dequantise_group_into([weight], torch.empty(5, 64))


@given(rows=st.integers(1, 300), out=st.integers(1, 500), blocks=st.integers(1, 300), processors=st.integers(1, 200))
def test_parts_cover_the_features_once(rows: int, out: int, blocks: int, processors: int) -> None:
    tile = tile_for(rows)
    weight: Any = SimpleNamespace(out_features=64 * out, in_features=64 * blocks)
    parts, features = parts_for(rows, weight, tile, processors)
    assert 1 <= parts <= MOST_PARTS
    assert features % tile.bk == 0
    assert (parts - 1) * features < weight.in_features <= parts * features
    assert tile.bm >= min(rows, 128)


def test_small_weights_are_split_and_large_ones_are_not() -> None:
    def parts(out: int, features: int) -> int:
        weight: Any = SimpleNamespace(out_features=out, in_features=features)
        return parts_for(1, weight, tile_for(1), 132)[0]

    assert MOST_PARTS == parts(1536, 8960) > parts(28672, 8960) > parts(152064, 8960) == 1
