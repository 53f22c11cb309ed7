"""math/equivalent beside math-verify on the same labelled pairs: `python benchmarks/math_verifiers.py`.

Both are asked in this process, one pair after another: ours without options, math-verify with bare answers in a
box, whole completions as they are, and its own time limit of five seconds. Appends one JSON line for each set of
pairs and metric to `benchmarks/results/math-verifiers.jsonl`. The shared pairs are left out where the folder is
missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from math_verify import parse, verify  # type: ignore[import-untyped]

from lydite import Completion, Parsed
from lydite_math.equivalent import equivalent

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "math-verifiers.jsonl"
OWN = ROOT / "rewards_contrib" / "math" / "calibration" / "equivalent.jsonl"
SHARED = ROOT.parent / "shared" / "conformance" / "math_pairs.jsonl"
LEFT_OUT = {"corrupt_gold", "label_questionable", "order_convention", "config_specific", "prose_answer"}
"""Tags of shared pairs whose label is a matter of dispute or of another grader's settings."""

Row = dict[str, Any]
Judge = Callable[[Row], bool]


def ours(row: Row) -> bool:
    """The verdict of math/equivalent."""
    return bool(equivalent(Completion(row["pred"], Parsed(row["pred"])), row["gold"]).passed)


def peer(row: Row) -> bool:
    """The verdict of math-verify; what is a bare answer is put in a box, a whole completion left as it is."""
    bare = row.get("form", "answer") == "answer"
    gold, pred = (_boxed(row[side]) if bare else row[side] for side in ("gold", "pred"))
    return bool(verify(parse(_boxed(gold) if "$" not in gold else gold), parse(pred)))


def _boxed(text: str) -> str:
    return text if "\\boxed" in text else f"\\boxed{{{text}}}"


def measured(judge: Judge, rows: Iterable[Row]) -> dict[str, float]:
    """Rates, Youden's J and milliseconds of one judge over the rows."""
    rows = list(rows)
    judge({"gold": "1", "pred": "1"})  # what is loaded on first use is not the first pair's time
    times, passed = [], []
    for row in rows:
        began = time.perf_counter()
        passed.append(judge(row))
        times.append(1000 * (time.perf_counter() - began))
    right = [one for one, row in zip(passed, rows, strict=True) if row["expected"]]
    wrong = [one for one, row in zip(passed, rows, strict=True) if not row["expected"]]
    tpr, fpr = sum(right) / len(right), sum(wrong) / len(wrong)
    cuts = statistics.quantiles(times, n=100)
    return {"n": len(rows), "tpr": tpr, "fpr": fpr, "j": tpr - fpr, "p50": cuts[49], "p99": cuts[98], "max": max(times)}


def sets() -> dict[str, list[Row]]:
    """The labelled pairs by the name of their set."""
    found = {"own pairs": _read(OWN)}
    if SHARED.exists():
        found["shared clean pairs"] = [row for row in _read(SHARED) if not LEFT_OUT & set(row["tags"])]
    return found


def _read(path: Path) -> list[Row]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if not row.get("options")]


def main() -> None:
    """Measures both, prints the table and appends the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to append the lines")
    arguments = parser.parse_args()
    versions = {name: importlib.metadata.version(name) for name in ("lydite-math", "math-verify", "mpmath", "sympy")}
    lines = []
    for case, rows in sets().items():
        mine, theirs = measured(ours, rows), measured(peer, rows)
        for metric in ("tpr", "fpr", "j", "p50", "p99", "max"):
            unit = "ms" if metric in ("p50", "p99", "max") else f"of {len(rows)} pairs"
            ratio = mine[metric] / theirs[metric] if theirs[metric] else None
            print(f"{case:20} {metric:4} ours {mine[metric]:9.4f}  math-verify {theirs[metric]:9.4f}  {unit}")
            lines.append(
                {
                    "case": case,
                    "metric": metric,
                    "unit": unit,
                    "ours": round(mine[metric], 4),
                    "peer": round(theirs[metric], 4),
                    "peer_name": "math-verify, bare answers in a box",
                    "ratio": None if ratio is None else round(ratio, 4),
                    "versions": versions,
                    "command": "python benchmarks/math_verifiers.py",
                    "device": f"CPU, {platform.machine()}, Python {platform.python_version()}",
                }
            )
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    with arguments.json.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
