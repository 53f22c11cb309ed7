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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu.kernel_cases import BIG, BIG_CASES, CASES, CUDA, TIMED, Case
from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import commit, versions, write_line
from torch import Tensor

from lydite.kernels import kernel_states

# Steps allowed in 16 bit and in float32. 0: bit for bit. 2: a step before a product may be two after it. In float32
# sums have another order, and an exponential's error grows with its argument.
ALLOWED = {
    "nf4_dequantise": (0, 0), "nf4_linear": (2, 16), "logps": (2, 128), "rmsnorm": (2, 16), "rope": (0, 0),
    "merge": (2, 64), "draw": (2, 64),
    "glu": (2, 64),  # seen on an H100: 40, where gelu_tanh's tail is 1e-7 and torch's own rounding is coarser
}  # fmt: skip


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


if __name__ == "__main__":
    sys.exit(main())
