"""Log-probs and entropy of tokens from hidden states, forward and backward: ours, without Triton, TRL's, all logits.

    python -m benchmarks.head --json FILE [--tokens 8192] [--vocabulary 152064] [--hidden 4096] [--repeats 7]

A frozen bfloat16 head, and a gradient towards the hidden states; 152064 x 4096 is a head as those of 7B to 8B models
are. First our results are compared with all logits in float32 on a few tokens. Then each way is timed with events
(median, least and greatest), and its peak of memory is what torch gives out beyond the inputs, the gradient [N, H] of
the hidden states included. Beside them, the products alone that any way needs: two with a gradient made in the forward
pass, three where logits are computed again. Lines named `tile: ...` take one chunk's step apart, times the chunks.
What fails is reported, and the rest goes on. `--tiny` tries the script without a GPU.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from benchmarks.gpu.heads import DEVICE, Inputs, Way, made, naive, ours, trl
from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import Writer
from torch import Tensor

from lydite.kernels import kernel_states, logps
from lydite.policy.head import head_product, product_type

CUDA = DEVICE == "cuda"
GIB = 2**30


def main() -> int:
    """Checks, measures, and writes the figures when asked; 1 when anything of ours failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--vocabulary", type=int, default=152064)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tiny", action="store_true", help="a toy head and few tokens, to try without a GPU")
    given = parser.parse_args()
    if given.tiny:
        given.tokens, given.vocabulary, given.hidden, given.repeats = 96, 2000, 64, 2
    torch.manual_seed(0)
    print(device_name(), torch.__version__, *kernel_states(), sep="\n", flush=True)
    inputs = made(given.tokens, given.vocabulary, given.hidden)
    bench = Bench(given, inputs)
    failed = [
        name
        for name, work in (
            ("check", lambda: check(inputs.first(min(64, given.tokens)))),
            ("lydite", lambda: bench.way("lydite", ours, is_ours=True)),
            ("scoring", bench.scoring),
            ("two products", lambda: bench.products("two products alone", 1)),
            ("three products", lambda: bench.products("three products alone", 2)),
            ("without Triton", bench.without_triton),
            ("TRL", lambda: bench.way("TRL's fused head", trl)),
            ("all logits", bench.all_logits),
            ("tiles of 512 rows", lambda: bench.tile(min(512, given.tokens))),
            ("tiles of 1024 rows", lambda: bench.tile(min(1024, given.tokens))),
            ("larger tiles", bench.larger_tiles),
        )
        if not tried(name, work)
    ]
    return 1 if {"check", "lydite", "scoring"} & set(failed) else 0


def tried(name: str, work: Callable[[], None]) -> bool:
    """False, and the reason printed, when it failed."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - reported, and the rest goes on
        print(f"FAILED {name}: {''.join(traceback.format_exception_only(error)).strip()[:400]}", flush=True)
        return False
    finally:
        if CUDA:
            torch.cuda.empty_cache()
    return True


def check(given: Inputs) -> None:
    """Stops with an assertion where results are not those of all logits in float32."""
    found = ours(given)
    (gradient,) = torch.autograd.grad((found * given.upstream).sum(), given.hidden)
    exact = Inputs(given.hidden.detach().float().requires_grad_(), given.weight.float(), given.ids, given.upstream)
    expected = naive(exact)
    (exact_gradient,) = torch.autograd.grad((expected * given.upstream).sum(), exact.hidden)
    off = float((found - expected).detach().abs().max())
    gradient_off = float((gradient.float() - exact_gradient).norm() / exact_gradient.norm())
    print(f"off by {off:.1e} nats at most, and the gradient by {gradient_off:.1e} of its norm", flush=True)
    # On a CPU logits are rounded to bfloat16; on a GPU only the sums' order differs.
    assert off < (1e-3 if CUDA else 0.1), f"log-probabilities are off by {off}"
    assert gradient_off < (0.006 if CUDA else 0.02), f"the gradient is off by {gradient_off} of its norm"


class Bench:
    """Times ways and parts of one on the same inputs, and writes the figures."""

    def __init__(self, given: argparse.Namespace, inputs: Inputs) -> None:
        self.given, self.inputs = given, inputs
        self.shape = f"{given.tokens} tokens, V={given.vocabulary}, H={given.hidden}, bf16"

    def way(self, name: str, way: Way, *, is_ours: bool = False, inputs: Inputs | None = None) -> None:
        """Forward and backward."""
        used = self.inputs if inputs is None else inputs

        def once() -> None:
            used.hidden.grad = None
            (way(used) * used.upstream).sum().backward()

        used.hidden.grad = None
        self._write(name, "forward and backward", once, is_ours=is_ours, tokens=used.ids.shape[0])
        used.hidden.grad = None  # the next baseline has none

    def scoring(self) -> None:
        """Without a gradient, as old and reference log-probabilities are computed."""

        @torch.no_grad()
        def once() -> None:
            ours(self.inputs)

        self._write("lydite", "forward without gradient", once, is_ours=True)

    def without_triton(self) -> None:
        """Ours with the kernels' switch off."""
        with patch.dict(os.environ, {"LYDITE_KERNELS": "logps"}):
            self.way("lydite without Triton", ours)

    def products(self, name: str, times: int) -> None:
        """The products of hidden states and head, `times` over, and the one of the slope and the head."""
        hidden, weight = self.inputs.hidden.detach(), self.inputs.weight
        logits = torch.empty(hidden.shape[0], weight.shape[0], dtype=weight.dtype, device=DEVICE)
        gradient = torch.empty_like(hidden)

        def once() -> None:
            for _ in range(times):
                torch.mm(hidden, weight.t(), out=logits)
            torch.mm(logits, weight, out=gradient)

        self._write(name, "forward and backward", once, products=times + 1)

    def all_logits(self) -> None:
        """As many tokens as fit, half as many each time that they do not."""
        count = self.inputs.ids.shape[0]
        while count:
            try:
                return self.way("all logits", naive, inputs=self.inputs.first(count))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                count //= 2
        raise RuntimeError("not even one token fits")

    def tile(self, rows: int) -> None:
        """One chunk's products and programs, times the number of chunks."""
        weight, vocabulary = self.inputs.weight, self.given.vocabulary
        hidden, ids = self.inputs.hidden.detach()[:rows], self.inputs.ids[:rows]
        product = torch.empty(rows, vocabulary, dtype=product_type(weight), device=DEVICE)
        slope = torch.randn(rows, vocabulary, device=DEVICE).to(weight.dtype)
        found, entropy = torch.empty(2, rows, device=DEVICE)
        gradient, shape, half = torch.empty_like(hidden), logps.LogitShape(), vocabulary // 2
        left = slope[:, : 2 * half].view(rows, 2, half).transpose(0, 1)
        right = weight[: 2 * half].view(2, half, -1)
        parts: list[tuple[str, int, Callable[[], Any]]] = [
            ("logits", 1, lambda: head_product(hidden, weight, None, out=product)),
            ("sums", 0, lambda: logps.tile_logps(product, ids, shape, found, entropy)),
            ("sums and slope", 0, lambda: logps.tile_logps(product, ids, shape, found, entropy, slope=slope)),
            ("gradient", 1, lambda: torch.mm(slope, weight, out=gradient)),
            ("gradient in two halves of V", 1, lambda: gradient.copy_(in_halves(left, right))),
        ]
        for name, products, part in parts:
            chunks = -(-self.given.tokens // rows)
            self._write("lydite", f"tile: {name}", part, is_ours=True, products=products, times=chunks, rows=rows)

    def larger_tiles(self) -> None:
        """Ours with tiles of up to 1024 rows, whatever they take."""
        with patch.object(logps, "TILE_BYTES", 8 << 30):
            self.way("lydite, tiles of 1024 rows", ours)

    def _write(
        self,
        name: str,
        metric: str,
        once: Callable[[], Any],
        *,
        is_ours: bool = False,
        products: int = 0,
        times: int = 1,
        **details: Any,
    ) -> None:
        """Milliseconds, and the peak of memory; of nothing but products, their TFLOP/s instead."""
        taken, peak = timed(once, self.given.repeats)
        words = ["python -m benchmarks.head", *(("--tiny",) if self.given.tiny else ())]
        rows = f", {details['rows']} rows" if "rows" in details else ""
        config = {"tokens": self.given.tokens, "vocabulary": self.given.vocabulary, "hidden": self.given.hidden}
        writer = Writer(
            arm=name, ours=is_ours, case=f"head, {self.shape}{rows}", command=" ".join(words), device=device_name(),
            config={**config, **details}, path=self.given.json, terminal=sys.stdout,
        )  # fmt: skip
        writer.figure(metric, "ms", [one * times for one in taken])
        if products:
            work = 2 * products * self.given.tokens * self.given.vocabulary * self.given.hidden
            print(f"    {work / statistics.median(taken) / times / 1e9:.0f} TFLOP/s", flush=True)
        elif CUDA and times == 1:
            writer.figure(f"memory beyond the inputs, {metric}", "GiB", [peak / GIB])


def in_halves(left: Tensor, right: Tensor) -> Tensor:
    """A product [n, H] as the sum of two: twice as many tiles for the multiprocessors to share."""
    both = torch.bmm(left, right, out_dtype=torch.float32) if CUDA else torch.bmm(left, right)
    return both.sum(0)


def timed(once: Callable[[], Any], repeats: int) -> tuple[list[float], int]:
    """Milliseconds of each of the repeats, and the peak of bytes beyond those that were in use before."""
    taken: list[float] = []
    if not CUDA:
        once()
        for _ in range(repeats):
            begun = time.perf_counter()
            once()
            taken.append((time.perf_counter() - begun) * 1000)
        return taken, 0
    before = torch.cuda.memory_allocated()
    once()  # compiles, and chooses products
    torch.cuda.reset_peak_memory_stats()
    once()  # fills torch's cache of memory
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for begin, end in marks:
        begin.record()
        once()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in marks], peak


if __name__ == "__main__":
    sys.exit(main())
