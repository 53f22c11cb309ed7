"""A smaller card: another process holds so much of the GPU's memory that only some GiB are left.

Run as a program, it is that process: `python -m benchmarks.gpu.ballast GIB`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_GIB = 2**30
_PIECE = _GIB // 16
"""What is taken at a time; so near is what is left to what was asked for."""


@contextmanager
def card_of(gib: float | None) -> Iterator[None]:
    """While open, this many GiB of the GPU are free. None: all of it."""
    if gib is None:
        yield
        return
    asked = [sys.executable, "-m", "benchmarks.gpu.ballast", str(gib)]
    process = subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said.startswith("leaves "):
            raise SystemExit("the ballast could not be taken; see this arm's log")
        yield
    finally:
        process.kill()
        process.wait()


def take_no_more_than(gib: float) -> None:
    """From now on torch is out of memory in this process where a card of so many GiB would be."""
    import torch

    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * _GIB / total))


def main() -> None:
    """Takes memory until no more than the given GiB are free, says how many are, and holds it."""
    import torch

    wanted = float(sys.argv[1]) * _GIB
    held = []
    while torch.cuda.mem_get_info()[0] - wanted >= _PIECE:
        free = torch.cuda.mem_get_info()[0]
        size = max(_PIECE, int((free - wanted) // 2) // _PIECE * _PIECE)
        held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    print(f"leaves {torch.cuda.mem_get_info()[0] / _GIB} GiB", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
