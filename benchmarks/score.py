"""How fast saved completions are judged again: `python benchmarks/score.py [--rows N]`.

Writes a file of N records as a run writes them, scores it through the command's own way, reading and writing
included, with cheap rewards in worker processes, in this process, and both; and measures the peak memory, which
must not grow with the file. Each result is a JSON line, appended to results/score.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "score.jsonl"
PLUGIN = """
import lydite

def has_reference(text, reference):
    return float(reference in text.split())

@lydite.hookimpl
def lydite_rewards():
    inline = lambda text, reference: has_reference(text, reference)
    return {"cheap/worker": has_reference, "cheap/inline": lydite.reward(isolation="inline")(inline)}
"""
STACKS = {"worker": ["worker"], "inline": ["inline"], "two": ["worker", "inline"]}


def write_rows(path: Path, rows: int) -> None:
    """Records of groups of 8, no two completions alike, about 300 characters each."""
    chance = random.Random(0)
    with path.open("w") as file:
        for number in range(rows):
            text = f"{number} " + "word " * chance.randint(20, 80)
            record = {
                "step": number // 64 + 1,
                "sample": f"s{number // 8}",
                "index": number % 8,
                "prompt": "say it again",
                "asked": "say it again",
                "reference": str(number if number % 3 else -1),
                "columns": {},
                "completion": text,
                "tokens": len(text) // 4,
                "finish_reason": "stop",
                "answer": text,
                "reasoning": "",
                "format_error": None,
                "reward": float(number % 2),
                "advantage": number % 2 - 0.5,
                "rewards": {"right": {"score": 1.0, "value": float(number % 2), "weight": 1.0}},
            }
            file.write(json.dumps(record) + "\n")


def measure(folder: Path, name: str, rows: int) -> dict[str, Any]:
    """One scoring in a process of its own, for its peak memory."""
    ran = subprocess.run(
        [sys.executable, __file__, "--one", str(folder), name], capture_output=True, text=True, check=True
    )
    return {"stack": name, "rows": rows, **json.loads(ran.stdout.splitlines()[-1])}


def one(folder: Path, name: str) -> None:
    """Scores the folder's file with one stack and prints what it took."""
    from lydite.plugins import load_plugins
    from lydite.rescore import open_saved, read_stack, rescore
    from lydite.rescore.spool import Spool

    stack = {
        "plugin_files": [str(folder / "cheap.py")],
        "rewards": {reward: {"use": f"cheap/{reward}"} for reward in STACKS[name]},
        "stack": {"workers": os.cpu_count() or 1},
    }
    config = read_stack(stack)
    plugins = load_plugins(allow=(), files=config.plugin_files)
    began = datetime.now(UTC)
    saved = open_saved(folder / "saved.jsonl")
    with Spool(folder / "scored.jsonl") as spool:
        found = rescore(saved, config, plugins, write=spool.write)
    seconds = (datetime.now(UTC) - began).total_seconds()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "verdicts": found["verdicts"],
                "seconds": round(seconds, 2),
                "verdicts_per_second": round(found["verdicts"] / seconds),
                "completions_per_second": round(found["rows"] / seconds),
                "peak_memory_mb": round(peak, 1),
            }
        )
    )


def main() -> None:
    """Measures every stack, and one of them on a file four times as long."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--one", nargs=2)
    arguments = parser.parse_args()
    if arguments.one:
        one(Path(arguments.one[0]), arguments.one[1])
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "cheap.py").write_text(PLUGIN)
        for name, rows in [*((name, arguments.rows) for name in STACKS), ("worker", 4 * arguments.rows)]:
            write_rows(folder / "saved.jsonl", rows)
            result = measure(folder, name, rows)
            where = {"cpus": os.cpu_count(), "python": platform.python_version()}
            line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **result, **where}
            print(json.dumps(line))
            RESULTS.parent.mkdir(exist_ok=True)
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
