"""The programs compile for a Hopper GPU, which takes no GPU: the interpreter runs what the compiler refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lydite.kernels.nf4_linear import tile_for

triton: Any = pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter has taken the compiler's place", allow_module_level=True)

WEIGHT = {
    "words": "*i32", "code": "*fp32", "absmax": "*u8", "absmax_code": "*fp32", "absmax2": "*fp32", "offset": "*fp32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(program: str, pointers: dict[str, str], constants: dict[str, Any], warps: int = 4) -> Any:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lydite.kernels import programs

    function = getattr(programs, program)
    names: list[str] = function.arg_names
    kinds = {name: pointers.get(name, "constexpr" if name in constants else "i32") for name in names}
    aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if name not in constants}
    source = ASTSource(fn=function, signature=kinds, constexprs=constants, attrs=aligned)
    options = {"num_warps": warps, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


@pytest.mark.parametrize(
    ("dtype", "nested", "flat"), [("bf16", True, True), ("fp16", False, False), ("fp32", True, False)]
)
def test_dequantise(dtype: str, nested: bool, flat: bool) -> None:
    pointers = {**WEIGHT, "absmax": "*u8" if nested else "*fp32", "out": f"*{dtype}"}
    ptx = compiled("dequantise", pointers, {"NESTED": nested, "FLAT": flat, "TILE": 64}).asm["ptx"]
    assert "st.global.v4.b32" in ptx, "sixteen bytes a store"
    assert "fma.rn.f32" not in ptx, "bitsandbytes rounds a nested scale twice"


@pytest.mark.parametrize(("dtype", "rows", "nested"), [("bf16", 1, True), ("fp16", 33, True), ("bf16", 65, False)])
def test_linear(dtype: str, rows: int, nested: bool) -> None:
    tile = tile_for(rows)
    pointers = {**WEIGHT, "absmax": "*u8" if nested else "*fp32", "x": f"*{dtype}", "out": f"*{dtype}"}
    constants = {"NESTED": nested, "BM": tile.bm, "BN": tile.bn, "BK": tile.bk, "STAGES": tile.stages}
    ptx = compiled("linear", pointers, constants, tile.warps).asm["ptx"]
    assert "wgmma.mma_async" in ptx, "Hopper's own matrix instruction"
    assert "cp.async.cg.shared.global" in ptx, "tiles are read ahead, sixteen bytes at a time"
    assert "fma.rn.f32" not in ptx


def test_add_parts() -> None:
    program = compiled("add_parts", {"parts": "*fp32", "out": "*bf16"}, {"PARTS": 4, "TILE": 512})
    assert "ld.global.v4.b32" in program.asm["ptx"]
