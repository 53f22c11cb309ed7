"""Every kernel against plain torch on one GPU, forward and backward: how far apart they are, and how long each takes.

    python -m benchmarks.kernel_checks [--json FILE] [--only rope,glu] [--seconds 55]

Each case is computed twice, with the kernels on and off, in bfloat16, float16 and float32, on odd shapes, with gaps
between rows and with numbers that are not finite; and once each on tensors of more than 2^31 numbers, where rows
from their beginning, middle and end are compared. Errors are in steps of the type: the distance over machine epsilon
times the number, or times the root mean square of all, where that is greater. Then both are timed: the median of 20,
by CUDA events; `ratio` is the time without kernels over the time with them. After `--seconds` nothing more is timed.
Ends with 1 when anything failed.

Without a GPU, on small shapes: TRITON_INTERPRET=1 python -m benchmarks.kernel_checks --tiny
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import commit, versions, write_line
from torch import Tensor

from lydite.kernels import (
    Nf4Weight,
    dequantise_into,
    gated,
    kernel_states,
    nf4_linear,
    nf4_weight_of,
    rms_norm,
    rotate,
)
from lydite.kernels.reference import dequantise_reference

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
# Steps allowed in 16 bit and in float32. 0: bit for bit. 2: a step before a product may be two after it. In float32
# sums have another order, and an exponential's error grows with its argument.
ALLOWED = {
    "nf4_dequantise": (0, 0), "nf4_linear": (2, 16), "logps": (2, 128), "rmsnorm": (2, 16), "rope": (0, 0),
    "glu": (2, 64),  # seen on an H100: 40, where gelu_tanh's tail is 1e-7 and torch's own rounding is coarser
}  # fmt: skip
WHOLE = slice(None)
BIG = 2**31


@dataclass(frozen=True)
class Case:
    """One call of a kernel's function; its tensors, and those that it returns, have their rows first."""

    kernel: str
    label: str
    call: Callable[..., Sequence[Tensor]]
    inputs: Sequence[Tensor] = ()
    """Whose gradients are compared too."""
    others: Sequence[Tensor] = ()
    slopes: Sequence[Tensor] = ()
    traffic: tuple[int, int] = (0, 0)
    """Bytes that forward and backward cannot do without, for GB/s."""

    def results(self, rows: slice = WHOLE) -> list[Tensor]:
        """What the call returns for these rows, and the gradients of its inputs."""
        inputs = [one[rows].detach().requires_grad_() for one in self.inputs]
        found = list(self.call(*inputs, *(one[rows] for one in self.others)))
        if not inputs:
            return found
        slopes = [slope[rows].to(one.dtype) for slope, one in zip(self.slopes, found, strict=True)]
        return [*(one.detach() for one in found), *torch.autograd.grad(found, inputs, slopes)]


@dataclass
class Report:
    """Prints and writes what was found, and counts what failed."""

    path: Path | None
    lines: dict[str, Any]
    failed: list[str] = field(default_factory=list)

    def check(self, case: Case, pairs: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> None:
        """Compares pairs of tensors; a case that raises has failed, and the rest goes on."""
        name = f"{case.kernel} {case.label}"
        try:
            errors = [(far(*pair), pair[0].dtype.itemsize) for pair in pairs()]
        except Exception:  # noqa: BLE001 - reported
            traceback.print_exc()
            errors = [(math.inf, 2)]
        wrong = any(error > ALLOWED[case.kernel][size == 4] for error, size in errors)
        if wrong:
            self.failed.append(name)
        worst = max(error for error, _ in errors)
        print(f"{'FAILED' if wrong else 'passed'}  {name:60} largest error {worst:.3g} steps", flush=True)
        line = {"case": name, "metric": "largest error", "unit": "steps of the type", "ours": worst, "failed": wrong}
        write_line(self.path, {**line, **self.lines})

    def time(self, case: Case, repeats: int) -> None:
        """Times forward and backward, with the kernels and without."""
        for what, size in zip(("forward", "backward"), case.traffic, strict=True):
            if not size:
                continue
            ours, peer = (timed(case, what == "backward", repeats, on=on) for on in (True, False))
            median, other = statistics.median(ours), statistics.median(peer)
            name = f"{case.kernel} {case.label}, {what}"
            shown = [f"{one:9.1f} us {size / one / 1000:5.0f} GB/s" for one in (median, other)]
            print(f"{name:60} with {shown[0]}   without {shown[1]}   {other / median:.2f}x", flush=True)
            line = {
                "case": name, "metric": "time", "unit": "us a call", "ours": round(median, 2), "peer": round(other, 2),
                "peer_name": "the same in plain torch", "ratio": round(other / median, 3),
                "spread": [round(min(ours), 2), round(max(ours), 2)], "gb_s": round(size / median / 1000),
            }  # fmt: skip
            write_line(self.path, {**line, **self.lines})


def main() -> int:
    """Checks, then times; 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    parser.add_argument("--only", default=",".join(ALLOWED), help="kernels, separated by commas")
    parser.add_argument("--seconds", type=float, default=55)
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the script in the interpreter")
    given = parser.parse_args()
    begun = time.perf_counter()
    torch.manual_seed(0)
    states = {name: (on, why) for name, on, why in kernel_states()}
    names = [name for name in given.only.split(",") if running(name, states)]
    command = " ".join(["python -m benchmarks.kernel_checks", *sys.argv[1:]])
    about = {"device": device_name(), "versions": versions(), "commit": commit(), "command": command}
    report = Report(given.json, about)
    print(about["device"], about["versions"], flush=True)
    if len(names) < len(given.only.split(",")) and CUDA:
        report.failed.append("not every kernel is on")
    for case in (case for name in names for case in CASES[name](given.tiny)):
        report.check(case, partial(on_and_off, case))
    for name in names if CUDA and not given.tiny else ():
        if name in BIG_CASES:
            check_big(report, name, *BIG_CASES[name])
    print(f"checked in {time.perf_counter() - begun:.0f} s", flush=True)
    for name in names:
        for case in TIMED[name](given.tiny):
            if time.perf_counter() - begun > given.seconds:
                print(f"not timed: {case.kernel} {case.label}", flush=True)
                continue
            report.time(case, 20 if CUDA else 1)
    print(f"{time.perf_counter() - begun:.0f} s", *(f"FAILED {one}" for one in report.failed), sep="\n")
    return 1 if report.failed else 0


def running(name: str, states: dict[str, tuple[bool, str]]) -> bool:
    """True when a kernel is there and on; says why it is not."""
    on, why = states.get(name, (False, "no kernel has that name"))
    if on and name == "logps":
        try:
            import lydite.kernels.logps  # noqa: F401
        except ImportError as error:
            on, why = False, str(error)
    if not on:
        print(f"skipped {name}: {why}", flush=True)
    return on


def switch(on: bool) -> None:
    """Turns all kernels on or off."""
    os.environ["LYDITE_KERNELS"] = "" if on else "off"


def on_and_off(case: Case) -> Iterator[tuple[Tensor, Tensor]]:
    """Each result with the kernels beside the same without."""
    found = []
    for on in (True, False):
        switch(on)
        found.append(case.results())
    switch(True)
    return zip(*found, strict=True)


def far(got: Tensor, expected: Tensor) -> float:
    """The largest error in steps of the type; infinite where shapes differ, or what is not finite lies elsewhere."""
    if got.dtype is not expected.dtype or got.shape != expected.shape:
        return math.inf
    wide, truth = got.double(), expected.double()
    finite = truth[truth.isfinite()]
    typical = float(finite.square().mean().sqrt()) if finite.numel() else 0.0
    steps = (wide - truth).abs() / (torch.finfo(got.dtype).eps * truth.abs().clamp(min=max(typical, 1e-300)))
    same = (wide == truth) | (wide.isnan() & truth.isnan())
    return float(torch.where(same, 0.0, steps.nan_to_num(math.inf, math.inf)).max())


def timed(case: Case, backward: bool, repeats: int, *, on: bool) -> list[float]:
    """Microseconds of each call."""
    switch(on)
    inputs = [one.detach().requires_grad_(backward) for one in case.inputs]
    found = case.call(*inputs, *case.others)

    def call() -> Any:
        if backward:
            return torch.autograd.grad(found, inputs, case.slopes, retain_graph=True)
        return case.call(*inputs, *case.others)

    times = []
    for _ in range(3 if CUDA else 0):
        call()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2 * repeats)] if CUDA else []
    for number in range(repeats):
        begun = time.perf_counter()
        if CUDA:
            marks[2 * number].record()
        call()
        if CUDA:
            marks[2 * number + 1].record()
        times.append((time.perf_counter() - begun) * 1e6)
    switch(True)
    if CUDA:
        torch.cuda.synchronize()
        times = [1000 * begin.elapsed_time(end) for begin, end in zip(marks[::2], marks[1::2], strict=True)]
    return times


def check_big(report: Report, name: str, needed: float, make: Callable[[], Case]) -> None:
    """Compares rows of more than 2^31 numbers with the same rows alone; `needed` is in bytes a number."""
    torch.cuda.empty_cache()
    if torch.cuda.mem_get_info()[0] < 1.05 * needed * BIG:
        print(f"skipped {name} beyond 2^31 numbers: {needed * BIG / 2**30:.0f} GiB are not free", flush=True)
        return
    case = make()

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        found = case.results()
        count = found[0].shape[0]
        for rows in (slice(0, 4), slice(count // 2 - 2, count // 2 + 2), slice(count - 4, count)):
            switch(False)
            alone = case.results(rows)
            switch(True)
            yield from zip((one[rows] for one in found), alone, strict=True)

    report.check(case, pairs)


def drawn(*shape: int, dtype: torch.dtype = torch.bfloat16, scale: float = 1.0) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=DEVICE).normal_(0, scale)


def strange(x: Tensor, *values: float) -> Tensor:
    """X with one such number in each of its first rows."""
    for row, value in enumerate(values):
        x[row, ..., row] = value
    return x


def named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# The norm: of hidden states, and of heads that lie in wider rows.


def norm_case(x: Tensor, gemma: bool, label: str, slope: Tensor | None = None) -> Case:
    weight = drawn(x.shape[-1], dtype=x.dtype)

    def call(x: Tensor) -> tuple[Tensor]:
        return (rms_norm(x, weight, 1e-6, offset=float(gemma), weight_in_float32=gemma),)

    slope = drawn(*x.shape, dtype=x.dtype) if slope is None else slope
    return Case("rmsnorm", label, call, (x,), slopes=(slope,), traffic=(2 * x.nbytes, 3 * x.nbytes))


def norm_cases(tiny: bool) -> Iterator[Case]:
    rows = 7 if tiny else 1003
    for dtype in DTYPES:
        for width, gemma in ((130 if tiny else 4096, False), (129 if tiny else 3585, True)):
            x = strange(drawn(rows, width, dtype=dtype, scale=3), math.nan, math.inf, -math.inf)
            yield norm_case(x, gemma, f"{named(dtype)} [{rows}, {width}]{' gemma' * gemma}")
    heads = drawn(rows, 6 * 64 + 16)[:, 16:].view(rows, 6, 64)
    yield norm_case(heads, False, f"bfloat16 [{rows}, 6, 64] of wider rows")


def norm_timed(tiny: bool) -> Iterator[Case]:
    for shape in ((3, 64),) if tiny else ((32768, 4096), (32768, 1536), (32768, 32, 128)):
        yield norm_case(drawn(*shape), False, f"bfloat16 {list(shape)}")


def norm_big() -> Case:
    x = drawn(BIG // 4096 + 5, 4096)
    return norm_case(x, False, f"bfloat16 {list(x.shape)}", slope=x)


# Rotary positions: tokens first, as a layer's products have them.


def rope_call(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> list[Tensor]:
    turned = rotate(query.transpose(0, 1)[None], key.transpose(0, 1)[None], cos[None], sin[None])
    return [one[0].transpose(0, 1) for one in turned]


def rope_case(tokens: int, heads: tuple[int, int], width: int, rotary: int, dtype: torch.dtype, big: bool) -> Case:
    x = [drawn(tokens, one, width, dtype=dtype) for one in heads]
    angles = torch.rand(tokens, rotary, device=DEVICE) * 6.28
    slopes = x if big else [torch.randn_like(one) for one in x]
    label = f"{named(dtype)} [{tokens}, {heads[0]}+{heads[1]}, {width}]" + (f", {rotary} turned" * (rotary < width))
    size = 2 * sum(one.nbytes for one in x)
    return Case("rope", label, rope_call, x, (angles.cos().to(dtype), angles.sin().to(dtype)), slopes, (size, size))


def rope_cases(tiny: bool) -> Iterator[Case]:
    tokens = 5 if tiny else 1003
    for dtype, (heads, width, rotary) in product(DTYPES, (((14, 2), 64, 64), ((3, 1), 36, 20))):
        case = rope_case(tokens, heads, width, rotary, dtype, False)
        strange(case.inputs[0], math.nan, math.inf, -math.inf)
        yield case


def rope_timed(tiny: bool) -> Iterator[Case]:
    for heads, width in (((2, 1), 8),) if tiny else (((32, 8), 128), ((14, 2), 64)):
        yield rope_case(3 if tiny else 32768, heads, width, width, torch.bfloat16, False)


def rope_big() -> Case:
    return rope_case(BIG // 4096 + 5, (32, 1), 128, 128, torch.bfloat16, True)


# Gated activations: gate and up by themselves, and as halves of one product.


def glu_case(gate: Tensor, up: Tensor, activation: Any, label: str, slope: Tensor | None = None) -> Case:
    def call(gate: Tensor, up: Tensor) -> tuple[Tensor]:
        return (gated(gate, up, activation),)

    slope = torch.randn_like(gate) if slope is None else slope
    return Case(
        "glu", f"{activation} {label}", call, (gate, up), slopes=(slope,), traffic=(3 * gate.nbytes, 5 * gate.nbytes)
    )


def glu_cases(tiny: bool) -> Iterator[Case]:
    rows, width = (5, 41) if tiny else (1003, 1537)
    for dtype, activation in product(DTYPES, ("silu", "gelu_tanh", "gelu")):
        values = (math.nan, -math.inf) if activation == "gelu" and not CUDA else (math.nan, -math.inf, math.inf)
        gate = strange(drawn(rows, width, dtype=dtype, scale=3), *values)
        yield glu_case(gate, drawn(rows, width, dtype=dtype), activation, f"{named(dtype)} [{rows}, {width}]")
    width = 48 if tiny else 1536
    gate, up = drawn(rows, 2 * width).chunk(2, dim=1)
    yield glu_case(gate, up, "silu", f"bfloat16 [{rows}, {width}] of one product")


def glu_timed(tiny: bool) -> Iterator[Case]:
    shape = (3, 40) if tiny else (16384, 14336)
    for activation in ("silu", "gelu_tanh"):
        yield glu_case(drawn(*shape), drawn(*shape), activation, f"bfloat16 {list(shape)}")


def glu_big() -> Case:
    x = drawn(BIG // 4096 + 5, 4096)
    return glu_case(x, x, "silu", f"bfloat16 {list(x.shape)}", slope=x)


# NF4: weights that bitsandbytes packed, and beyond 2^31 some that are drawn already packed.


def packed(rows: int, columns: int) -> Nf4Weight:
    from bitsandbytes.nn import Params4bit

    values = drawn(rows, columns, scale=columns**-0.5)
    return nf4_weight_of(Params4bit(values, requires_grad=False, blocksize=64, quant_type="nf4").to(DEVICE))


def unpacked(weight: Nf4Weight, dtype: torch.dtype) -> list[Tensor]:
    out = torch.empty(weight.out_features, weight.in_features, dtype=dtype, device=DEVICE)
    dequantise_into(weight, out)
    return [out]


def dequantise_cases(tiny: bool) -> Iterator[Case]:
    rows, columns = (7, 192) if tiny else (1003, 1600)
    weight = packed(rows, columns)
    for dtype in DTYPES:
        yield Case("nf4_dequantise", f"{named(dtype)} [{rows}, {columns}]", partial(unpacked, weight, dtype))


def dequantise_timed(tiny: bool) -> Iterator[Case]:
    rows, columns = (8, 64) if tiny else (28672, 4096)
    call = partial(unpacked, packed(rows, columns), torch.bfloat16)
    yield Case("nf4_dequantise", f"bfloat16 [{rows}, {columns}]", call, traffic=(int(2.516 * rows * columns), 0))


def dequantise_big() -> Case:
    rows, columns = BIG // 4096 + 8, 4096
    blocks = rows * columns // 64

    def random(*size: int) -> Tensor:
        return torch.randint(0, 256, size, dtype=torch.uint8, device=DEVICE)

    weight = Nf4Weight(
        random(rows * columns // 2), drawn(16, dtype=torch.float32).sort().values, random(blocks),
        drawn(256, dtype=torch.float32), drawn(-(-blocks // 256), dtype=torch.float32),
        drawn(1, dtype=torch.float32), rows, columns,
    )  # fmt: skip

    def call(first: Tensor) -> list[Tensor]:
        """All rows, or, by plain torch, those that `first` numbers: multiples of four have scales to themselves."""
        if len(first) == rows:
            return unpacked(weight, torch.bfloat16)
        assert weight.absmax2 is not None
        start = int(first[0]) // 4 * 4
        stop = min(rows, start + 8)
        own = slice(start * columns // 64, stop * columns // 64)
        few = Nf4Weight(
            weight.packed[start * columns // 2 : stop * columns // 2], weight.code, weight.absmax[own],
            weight.absmax_code, weight.absmax2[own.start // 256 :], weight.offset, stop - start, columns,
        )  # fmt: skip
        return [dequantise_reference(few, torch.bfloat16)[first - start]]

    return Case("nf4_dequantise", f"bfloat16 [{rows}, {columns}]", call, others=(torch.arange(rows, device=DEVICE),))


def linear_cases(tiny: bool) -> Iterator[Case]:
    out, features = (70, 192) if tiny else (1003, 1600)
    weight = packed(out, features)
    for dtype, rows in product(DTYPES, (1, 19) if tiny else (1, 19, 61)):
        x = drawn(rows, features, dtype=dtype)
        yield linear_case(strange(x, math.nan) if rows > 1 else x, weight, f"{named(dtype)} {rows} rows")


def linear_case(x: Tensor, weight: Nf4Weight, label: str) -> Case:
    def call(x: Tensor) -> tuple[Tensor]:
        return (nf4_linear(x, weight),)

    size = int(0.516 * weight.out_features * weight.in_features)
    label = f"{label} [{weight.out_features}, {weight.in_features}]"
    return Case("nf4_linear", label, call, others=(x,), traffic=(size, 0))


def linear_timed(tiny: bool) -> Iterator[Case]:
    weight = packed(64, 64) if tiny else packed(28672, 4096)
    for rows in (1,) if tiny else (1, 32):
        yield linear_case(drawn(rows, weight.in_features), weight, f"bfloat16 {rows} rows")


# Log-probabilities: a tile of products in float32, with its slope in the type of a model.


def logps_case(rows: int, vocabulary: int, dtype: torch.dtype, softcap: float | None, label: str) -> Case:
    from lydite.kernels.logps import LogitShape, tile_logps

    products = drawn(rows, vocabulary, dtype=torch.float32, scale=4)
    ids = torch.randint(0, vocabulary, (rows,), device=DEVICE)
    shape = LogitShape(softcap=softcap, temperature=0.7 if softcap else 1.0)

    def call(products: Tensor, ids: Tensor) -> list[Tensor]:
        logps, entropy = (torch.empty(len(ids), device=DEVICE) for _ in range(2))
        slope = torch.empty(products.shape, dtype=dtype, device=DEVICE)
        tile_logps(products, ids, shape, logps, entropy, slope=slope)
        return [logps, entropy, slope]

    size = products.nbytes * 2 + products.numel() * dtype.itemsize
    return Case("logps", f"{named(dtype)} {label}", call, others=(products, ids), traffic=(size, 0))


def logps_cases(tiny: bool) -> Iterator[Case]:
    rows, vocabulary = (5, 1007) if tiny else (131, 49155)
    for dtype, softcap in product(DTYPES, (None, 30.0)):
        label = f"[{rows}, {vocabulary}]" + (", soft cap and temperature" if softcap else "")
        case = logps_case(rows, vocabulary, dtype, softcap, label)
        strange(case.others[0], math.nan)
        yield case


def logps_timed(tiny: bool) -> Iterator[Case]:
    rows, vocabulary = (3, 500) if tiny else (512, 151936)
    yield logps_case(rows, vocabulary, torch.bfloat16, None, f"[{rows}, {vocabulary}]")


CASES = {
    "nf4_dequantise": dequantise_cases, "nf4_linear": linear_cases, "logps": logps_cases, "rmsnorm": norm_cases,
    "rope": rope_cases, "glu": glu_cases,
}  # fmt: skip
TIMED = {
    "nf4_dequantise": dequantise_timed, "nf4_linear": linear_timed, "logps": logps_timed, "rmsnorm": norm_timed,
    "rope": rope_timed, "glu": glu_timed,
}  # fmt: skip
# Bytes a number, inputs and results together, and the case.
BIG_CASES = {
    "nf4_dequantise": (2.6, dequantise_big), "rmsnorm": (6.0, norm_big), "rope": (8.0, rope_big), "glu": (8.0, glu_big),
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
