"""What running a program costs in each sandbox, and what a fresh process for every case costs.

    python benchmarks/code_sandbox.py [--json FILE] [--repeats 20]

Compared for programs with 1, 4 and 16 cases: one driver that forks the program for every case (what the rewards do);
a new driver for every case, as if nothing could be shared; and a bare `python -c` for every case, without any limit.
Repeats alternate, since other work on the machine comes and goes; figures are medians in milliseconds, and the load
average is kept with them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lydite_code import Bubblewrap, Job, RLimits, Sandbox
from lydite_code.inside.wire import encode

PROGRAM = "def f(n):\n    return sorted(range(n), key=lambda x: -x)\n"
COUNTS = (1, 4, 16)


def main() -> None:
    """Measures, prints a table, and adds the figures to a file when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    ways = dict(_ways())
    seconds: dict[tuple[str, int], list[float]] = {(way, count): [] for way in ways for count in COUNTS}
    for _ in range(given.repeats):
        for way, run in ways.items():
            for count in COUNTS:
                began = time.perf_counter()
                run(count)
                seconds[way, count].append(time.perf_counter() - began)
    rows = [_row(way, count, measured) for (way, count), measured in seconds.items()]
    print(f"{'':42}{'cases':>6}{'median ms':>11}{'a case':>9}{'p90 ms':>9}")
    for row in rows:
        print(f"{row['way']:42}{row['cases']:>6}{row['p50_ms']:>11.1f}{row['case_ms']:>9.2f}{row['p90_ms']:>9.1f}")
    if given.json is not None:
        with given.json.open("a") as file:
            for row in rows:
                file.write(
                    json.dumps(
                        {**row, "repeats": given.repeats, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
                    )
                    + "\n"
                )


def _ways() -> Iterator[tuple[str, Callable[[int], None]]]:
    for sandbox in (Bubblewrap(), RLimits()):
        problem = sandbox.problem()
        if problem:
            print(f"left out: {sandbox.name}, {problem}")
            continue
        yield f"{sandbox.name}, one driver", lambda count, one=sandbox: _run(one, count)  # type: ignore[misc]
        yield f"{sandbox.name}, a driver for each case", lambda count, one=sandbox: _each(one, count)  # type: ignore[misc]
    yield "bare interpreter for each case, no limits", _bare


def _run(sandbox: Sandbox, count: int) -> None:
    case = {"call": "f", "args": encode([10]), "kwargs": encode({})}
    job = Job(PROGRAM, "call", [case] * count, case_seconds=10, total_seconds=60, memory_mb=512, output_kb=64)
    runs = [run.status for run in sandbox.run(job)]
    assert runs == ["value"] * count, runs


def _each(sandbox: Sandbox, count: int) -> None:
    for _ in range(count):
        _run(sandbox, 1)


def _bare(count: int) -> None:
    for _ in range(count):
        code = f"import json\n{PROGRAM}print(json.dumps(f(10)))"
        subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, stdout=subprocess.DEVNULL)


def _row(way: str, count: int, measured: list[float]) -> dict[str, Any]:
    milliseconds = sorted(1000 * one for one in measured)
    median = statistics.median(milliseconds)
    p90 = milliseconds[int(0.9 * (len(milliseconds) - 1))]
    return {"way": way, "cases": count, "p50_ms": round(median, 2), "case_ms": round(median / count, 2),
            "p90_ms": round(p90, 2)}  # fmt: skip


if __name__ == "__main__":
    main()
