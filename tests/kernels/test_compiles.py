"""The programs compile for a Hopper GPU, which takes no GPU: the interpreter runs what the compiler refuses."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from lydite.kernels.draw import BLOCK as DRAW_BLOCK
from lydite.kernels.draw import GROUP
from lydite.kernels.glu import BLOCK
from lydite.kernels.logps import FOLD_BLOCK, PART, SLOPE_BLOCK, WARPS
from lydite.kernels.merge import BLOCK as MERGE_BLOCK
from lydite.kernels.merge import TOKENS
from lydite.kernels.nf4_linear import tile_for
from lydite.kernels.rms_norm import blocks_for
from lydite.kernels.rows import power_of_two

triton: Any = pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter has taken the compiler's place", allow_module_level=True)

WEIGHT = {
    "words": "*i32", "code": "*fp32", "absmax": "*u8", "absmax_code": "*fp32", "absmax2": "*fp32", "offset": "*fp32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(
    program: str, pointers: dict[str, str], constants: dict[str, Any], warps: int = 4, module: str = "programs"
) -> Any:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(import_module(f"lydite.kernels.{module}"), program)
    names: list[str] = function.arg_names
    kinds = {name: pointers.get(name, "constexpr" if name in constants else "i32") for name in names}
    never = {one.name for one in function.params if one.do_not_specialize}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if name not in constants and name not in never and pointers.get(name) != "fp32"
    }
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


@pytest.mark.parametrize(("dtype", "width", "gemma"), [("bf16", 4096, False), ("fp16", 64, True), ("fp32", 129, False)])
def test_rms_norm(dtype: str, width: int, gemma: bool) -> None:
    block, rows, warps = blocks_for(width)
    numbers = dict.fromkeys(("x", "weight", "out", "slope"), f"*{dtype}")
    pointers = {**numbers, "inverses": "*fp32", "eps": "fp32", "share": "fp32"}
    constants = {"OFFSET": float(gemma), "WEIGHT_IN_FLOAT32": gemma, "WIDTH": width, "BLOCK": block, "ROWS": rows}
    for program, loads in (("rms_norm", 1), ("rms_norm_backward", 2)):
        done = compiled(program, pointers, constants, warps, "programs_norm")
        ptx = done.asm["ptx"]
        assert "fma.rn.f32" not in ptx, "torch rounds products before it adds them"
        assert width == 129 or ptx.count("ld.global.v4.b32") >= loads, "sixteen bytes a load"


@pytest.mark.parametrize(("dtype", "backward", "rest"), [("bf16", False, 0), ("fp16", True, 20), ("fp32", False, 0)])
def test_rotate(dtype: str, backward: bool, rest: int) -> None:
    pointers = dict.fromkeys(("query", "key", "cos", "sin", "query_out", "key_out"), f"*{dtype}")
    constants = {
        "BACKWARD": backward, "QUERY_HEADS": 28, "KEY_HEADS": 4, "HALF": 64, "REST": rest,
        "QUERY_BLOCK": 32, "KEY_BLOCK": 4, "HALF_BLOCK": 64, "REST_BLOCK": 32,
    }  # fmt: skip
    ptx = compiled("rotate", pointers, constants, 8, "programs_rope").asm["ptx"]
    assert "ld.global.v4.b32" in ptx, "sixteen bytes a load"
    assert "st.global.v4.b32" in ptx
    assert "fma.rn.f32" not in ptx, "torch rounds products before it adds them"


@pytest.mark.parametrize(("dtype", "activation"), [("bf16", "silu"), ("fp16", "gelu_tanh"), ("fp32", "gelu")])
def test_gated(dtype: str, activation: str) -> None:
    pointers = dict.fromkeys(("slope", "gate", "up", "out", "gate_out", "up_out"), f"*{dtype}")
    constants = {"ACTIVATION": activation, "BLOCK": BLOCK}
    for program, loads in (("gated", 2), ("gated_backward", 3)):
        ptx = compiled(program, {**pointers, "columns": "i64"}, constants, 4, "programs_glu").asm["ptx"]
        assert ptx.count("ld.global.v4.b32") >= loads, "sixteen bytes a load"


@pytest.mark.parametrize(("dtype", "width"), [("bf16", 128), ("fp16", 96), ("fp32", 64)])
def test_merge(dtype: str, width: int) -> None:
    numbers = dict.fromkeys(("output", "second", "total", "more"), f"*{dtype}")
    pointers = {**numbers, "lse": "*fp32", "second_lse": "*fp32", "rows": "*i64"}
    constants = {"WIDTH": width, "BLOCK": 128, "TOKENS": TOKENS}
    ptx = compiled("merge", pointers, constants, 4, "programs_merge").asm["ptx"]
    assert ptx.count("ld.global.v4.b32") >= 2, "sixteen bytes a load"
    ptx = compiled("add_rows", pointers, {"BLOCK": MERGE_BLOCK}, 4, "programs_merge").asm["ptx"]
    assert ptx.count("ld.global.v4.b32") >= 2
    assert "st.global.v4.b32" in ptx


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("vocabulary", [50, 49_152, 151_936, 262_144])
def test_draw(dtype: str, vocabulary: int) -> None:
    pointers = {
        "logits": f"*{dtype}", "tops": "*fp32", "masses": "*fp32", "uniform": "*fp64", "tokens": "*i64",
        "logps": "*fp32", "temperature": "fp32",
    }  # fmt: skip
    cut = {"BLOCK": DRAW_BLOCK, "GROUP": GROUP}
    ptx = compiled("block_masses", pointers, cut, 4, "programs_draw").asm["ptx"]
    assert "local" not in ptx, "registers suffice"
    done = compiled("pick", pointers, {**cut, "MOST": power_of_two(-(-vocabulary // DRAW_BLOCK))}, 4, "programs_draw")
    assert "ld.global" in done.asm["ptx"]


@pytest.mark.parametrize(
    ("dtype", "capped", "of_entropy"), [("bf16", False, False), ("fp16", True, True), ("fp32", False, False)]
)
def test_logps(dtype: str, capped: bool, of_entropy: bool) -> None:
    pointers = dict.fromkeys(("products", "partial", "logps", "entropy", "terms", "scale"), "*fp32")
    pointers |= dict.fromkeys(("first", "last", "cap", "factor"), "fp32") | {"ids": "*i64", "out": f"*{dtype}"}
    fold = {"CAPPED": capped, "PART": PART, "BLOCK": FOLD_BLOCK}
    ptx = compiled("fold", pointers, fold, WARPS, "programs_logps").asm["ptx"]
    assert ptx.count("ld.global.v4.b32") == FOLD_BLOCK // 32 // WARPS // 4, "sixteen bytes a load"
    compiled("merge", pointers, {"CAPPED": capped, "PARTS": 8}, 1, "programs_logps")
    slopes = {"CAPPED": capped, "SCALED": capped, "ENTROPY": of_entropy, "BLOCK": SLOPE_BLOCK}
    done = compiled("slopes", pointers, slopes, WARPS, "programs_logps")
    assert done.asm["ptx"].count("ld.global.v4.b32") == SLOPE_BLOCK // 32 // WARPS // 4
    assert "st.global.v4.b32" in done.asm["ptx"]
    # A slope may take the place of its product: no thread may write what another has yet to read.
    assert done.metadata.shared == 0, "every thread stores what it loaded"
