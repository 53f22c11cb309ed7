"""Products with NF4 weights: lydite's kernels against bitsandbytes' and against 16-bit weights, on one GPU.

    python benchmarks/kernel_times.py [--json FILE] [--repeats 15] [--seconds 55] [--sweep]

First every kernel is compared with bitsandbytes on weights that it packed; then each way of multiplying is captured
in a CUDA graph that goes through copies of the weight, more than the L2 cache holds, and replays are timed with
events: the median, a call. `ratio` is the peer's time over ours, above 1 where ours is faster; `spread` is the
slowest replay over the fastest, of ours and of the peer. GB/s count the packed weight, 0.516 bytes a weight, for
products, and that plus the 2 bytes written for unpacking. What fails is reported, and the rest goes on; after
`--seconds` no new case is begun. `--sweep` times other block sizes of the product instead.

Without a GPU it only checks, on small shapes: TRITON_INTERPRET=1 python benchmarks/kernel_times.py
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import bitsandbytes
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Params4bit
from torch.nn import functional as F

from lydite.kernels import Nf4Weight, dequantise_into, kernel_states, nf4_linear, nf4_weight_of
from lydite.kernels.nf4_linear import Tile, nf4_linear_fused, nf4_linear_unfused
from lydite.kernels.reference import dequantise_reference

# (model, layer, in, out): l8 has Llama 3 8B's shapes, q15 Qwen2.5 1.5B's, with q, k, v and gate, up as one.
SHAPES = (
    ("l8", "gate_up", 4096, 28672), ("l8", "qkv", 4096, 6144), ("l8", "o", 4096, 4096), ("l8", "down", 14336, 4096),
    ("q15", "gate_up", 1536, 17920), ("q15", "qkv", 1536, 2048), ("q15", "down", 8960, 1536),
)  # fmt: skip
SMALL = (("small", "square", 256, 192), ("small", "split", 1088, 64))
ROWS = (1, 8, 32, 64, 128, 256)
FUSED_UP_TO = 128
CACHE = 160 << 20  # bytes that a round of copies reads: three times an H100's L2
CALLS = 96  # in a round, at most: the smallest weights outgrow the cache with these
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


@dataclass(frozen=True)
class Case:
    """One layer's weight, packed and plain, in as many copies as outgrow the cache."""

    name: str
    params: list[Params4bit]
    packed: list[Nf4Weight]
    plain: list[torch.Tensor]


@dataclass(frozen=True)
class Timing:
    """Microseconds a call: the median of the replays, and the slowest over the fastest."""

    us: float
    spread: float


def main() -> int:
    """Checks, measures, prints a line a case, and writes the figures when asked; 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=55)
    parser.add_argument("--sweep", action="store_true")
    given = parser.parse_args()
    begun = time.perf_counter()
    print(about()["device"], about()["versions"], *kernel_states(), sep="\n", flush=True)
    torch.manual_seed(0)
    failed, lines = [], []
    for model, layer, features, out in SHAPES if CUDA else SMALL:
        name = f"{model} {layer} {features}->{out}"
        left = given.seconds - (time.perf_counter() - begun)
        if left < 0:
            failed.append(f"{name}: no time was left")
            continue
        try:
            case = make_case(name, features, out)
            check(case)
            jobs = sweep(case) if given.sweep else compare(case)
        except Exception:  # noqa: BLE001 - reported, and the rest goes on
            traceback.print_exc()
            failed.append(name)
            continue
        if not CUDA:
            continue
        for label, work in jobs:
            if time.perf_counter() - begun > given.seconds:
                failed.append(f"{name} {label}: no time was left")
                break
            try:
                lines += work(given.repeats)
            except Exception:  # noqa: BLE001 - reported, and the rest goes on
                traceback.print_exc()
                failed.append(f"{name} {label}")
                torch.cuda.synchronize()
        del case
        torch.cuda.empty_cache()
    print(f"{time.perf_counter() - begun:.0f} s", *[f"FAILED {one}" for one in failed], sep="\n")
    if given.json is not None:
        given.json.write_text("".join(json.dumps({**line, **about()}) + "\n" for line in lines))
    return 1 if failed else 0


def make_case(name: str, features: int, out: int) -> Case:
    """The layer, drawn and packed on the device."""
    values = torch.randn(out, features, device=DEVICE, dtype=torch.bfloat16) * features**-0.5
    first = Params4bit(values, requires_grad=False, blocksize=64, compress_statistics=True, quant_type="nf4").to(DEVICE)
    packed = nf4_weight_of(first)
    copies = min(CALLS, math.ceil(CACHE / packed.packed.numel())) if CUDA else 1
    params = [first, *(packed_again(values) for _ in range(copies - 1))]
    plain = dequantise_reference(packed, torch.bfloat16)
    plains = [plain, *(plain.clone() for _ in range(min(CALLS, math.ceil(CACHE / plain.nbytes)) - 1 if CUDA else 0))]
    return Case(name, params, [nf4_weight_of(one) for one in params], plains)


def packed_again(values: torch.Tensor) -> Params4bit:
    return Params4bit(values, requires_grad=False, blocksize=64, compress_statistics=True, quant_type="nf4").to(DEVICE)


def check(case: Case) -> None:
    """Stops with an assertion where a kernel does not compute what bitsandbytes does."""
    weight, parameter, plain = case.packed[0], case.params[0], case.plain[0]
    for dtype in (torch.bfloat16, torch.float16):
        parameter.quant_state.dtype = dtype
        out = torch.full((weight.out_features, weight.in_features), torch.nan, dtype=dtype, device=DEVICE)
        dequantise_into(weight, out)
        wrong = int((out != dequantize_4bit(parameter.data, parameter.quant_state)).sum())
        assert wrong == 0, f"{case.name}: {wrong} of {out.numel()} weights in {dtype} are not bitsandbytes'"
    parameter.quant_state.dtype = torch.bfloat16
    wide = torch.full((weight.out_features, weight.in_features + 64), torch.nan, dtype=plain.dtype, device=DEVICE)
    dequantise_into(weight, wide[:, 64:])
    assert torch.equal(wide[:, 64:], plain), "unpacked into a range of columns"
    worst = 0.0
    for rows in (1, 8, 19, 33, 128) if CUDA else (1, 19):
        x = torch.randn(rows, weight.in_features, device=DEVICE, dtype=torch.bfloat16)
        y = torch.full((rows, weight.out_features), torch.nan, device=DEVICE, dtype=torch.bfloat16)
        nf4_linear_fused(x, weight, out=y)
        exact = F.linear(x.double(), plain.double())
        far = float((y - exact).norm() / exact.norm())
        assert far < 3e-3, f"{case.name}: the product of {rows} rows is off by {far:.1e} of its norm"
        worst = max(worst, far)
    print(f"{case.name}: unpacked bit for bit; products off by {worst:.1e} of their norm (rounding)", flush=True)


def compare(case: Case) -> Iterable[tuple[str, Callable[[int], list[dict[str, Any]]]]]:
    """The jobs of a case: unpacking, and the product for each number of rows."""
    yield "unpack", lambda repeats: compare_unpacking(case, repeats)
    for rows in ROWS:
        yield f"M={rows}", lambda repeats, rows=rows: compare_products(case, rows, repeats)


def compare_unpacking(case: Case, repeats: int) -> list[dict[str, Any]]:
    out = torch.empty_like(case.plain[0])
    ours = timed([lambda one=one: dequantise_into(one, out) for one in case.packed], repeats)
    theirs = timed(
        [lambda one=one: dequantize_4bit(one.data, one.quant_state, out=out) for one in case.params], repeats
    )
    size = 2.516 * out.numel()
    print(f"{case.name:26} unpack  ours {show(ours, size)}   bitsandbytes {show(theirs, size)}", flush=True)
    return [line(case.name, "nf4_dequantise", ours, theirs, "bitsandbytes.functional.dequantize_4bit")]


def compare_products(case: Case, rows: int, repeats: int) -> list[dict[str, Any]]:
    x = torch.randn(rows, case.packed[0].in_features, device=DEVICE, dtype=torch.bfloat16)
    products: dict[str, list[Callable[[], Any]]] = {
        "nf4_linear": [lambda one=one: nf4_linear(x, one) for one in case.packed],
        "lydite, unpacked first": [lambda one=one: nf4_linear_unfused(x, one) for one in case.packed],
        "bitsandbytes.matmul_4bit": [
            lambda one=one: bitsandbytes.matmul_4bit(x, one.data, one.quant_state) for one in case.params
        ],
        "torch bfloat16 linear": [lambda one=one: F.linear(x, one) for one in case.plain],
    }
    if rows > FUSED_UP_TO:
        products["lydite, fused"] = [lambda one=one: nf4_linear_fused(x, one) for one in case.packed]
    timings: dict[str, Timing] = {}
    for name, calls in products.items():
        try:
            timings[name] = timed(calls, repeats)
        except Exception as error:  # noqa: BLE001 - the same
            print(f"{case.name} M={rows} {name} FAILED: {error!r}", flush=True)
            torch.cuda.synchronize()
    size = 0.516 * case.plain[0].numel()
    shown = "   ".join(f"{name} {show(one, size)}" for name, one in timings.items())
    print(f"{case.name:26} M={rows:<4} {shown}", flush=True)
    ours = timings.pop("nf4_linear")
    return [line(f"{case.name} M={rows}", "nf4_linear", ours, one, name) for name, one in timings.items()]


def sweep(case: Case) -> Iterable[tuple[str, Callable[[int], list[dict[str, Any]]]]]:
    """The jobs of a case, each a table of block sizes for one number of rows."""
    for rows in (8, 32, 64, 128):
        yield f"tiles M={rows}", lambda repeats, rows=rows: sweep_rows(case, rows, repeats)


def sweep_rows(case: Case, rows: int, repeats: int) -> list[dict[str, Any]]:
    x = torch.randn(rows, case.packed[0].in_features, device=DEVICE, dtype=torch.bfloat16)
    bm = max(16, rows)
    for bn, bk, warps, stages in ((128, 64, 4, 4), (64, 128, 4, 3), (64, 64, 4, 4), (128, 128, 8, 3), (128, 64, 8, 4)):
        tile = Tile(bm=bm, bn=bn, bk=bk, warps=warps, stages=stages)
        try:
            one = timed([lambda w=w, tile=tile: nf4_linear_fused(x, w, tile=tile) for w in case.packed], repeats)
            print(f"{case.name:26} {tile} {show(one, 0.516 * case.plain[0].numel())}", flush=True)
        except Exception as error:  # noqa: BLE001 - the same
            print(f"{case.name:26} {tile} FAILED: {str(error)[:200]}", flush=True)
            torch.cuda.synchronize()
    return []


def timed(calls: Sequence[Callable[[], Any]], repeats: int) -> Timing:
    """How long one of the calls takes, when all are replayed one after the other."""
    calls[0]()  # compiles, and creates handles, before the capture
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2 * repeats)]
    for _ in range(3):
        graph.replay()
    for begin, end in zip(marks[::2], marks[1::2], strict=True):
        begin.record()
        graph.replay()
        end.record()
    torch.cuda.synchronize()
    each = [begin.elapsed_time(end) * 1000 / len(calls) for begin, end in zip(marks[::2], marks[1::2], strict=True)]
    return Timing(statistics.median(each), max(each) / min(each))


def show(timing: Timing, size: float) -> str:
    return f"{timing.us:7.1f} us {size / timing.us / 1000:5.0f} GB/s"


def line(case: str, metric: str, ours: Timing, peer: Timing, peer_name: str) -> dict[str, Any]:
    return {
        "case": case, "metric": metric, "unit": "us a call", "ours": round(ours.us, 2), "peer": round(peer.us, 2),
        "peer_name": peer_name, "ratio": round(peer.us / ours.us, 3),
        "spread": [round(ours.spread, 3), round(peer.spread, 3)],
    }  # fmt: skip


def about() -> dict[str, Any]:
    """What the figures belong to: the device, the versions, the command and the commit."""
    versions = {}
    for name in ("torch", "triton", "bitsandbytes"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    root = Path(__file__).parents[1]
    asked = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "device": torch.cuda.get_device_name() if CUDA else "CPU",
        "versions": versions,
        "command": " ".join(["python", "benchmarks/kernel_times.py", *sys.argv[1:]]),
        "commit": asked.stdout.strip() or "unknown",
    }


if __name__ == "__main__":
    sys.exit(main())
