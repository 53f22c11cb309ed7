"""Arms: each is a process of its own, so that none inherits another's memory, or dies of another's crash."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import Writer, commit, join, read_lines, versions, write_line

_TAIL: Final = 25
"""Lines of a failed arm's log that are shown."""

_UNSAID: Final = ("arm", "json", "join", "models", "logs", "timeout", "ragged", "vocabulary")
"""What a command that is written down leaves out: places of one machine, and what follows from the rest."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What is measured, by whom, and how long it may take."""

    run: Callable[[argparse.Namespace, Writer], None]
    ours: bool
    seconds: int
    """After so long it is ended; what it has measured by then is kept."""
    environment: Mapping[str, str] | None = None


def add_arguments(parser: argparse.ArgumentParser, arms: Mapping[str, Arm], default: str) -> None:
    """The options that all these benchmarks have."""
    parser.add_argument("--arms", default=default, help=f"of {', '.join(arms)}; separated by commas")
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    parser.add_argument(
        "--join", type=Path, metavar="FILE", help="pair the lines of FILE, write them to --json, and end"
    )
    parser.add_argument(
        "--models", type=Path, default=default_models(), help="folder for random models, best in memory"
    )
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "lydite-benchmark-logs")
    parser.add_argument("--timeout", type=int, help="seconds for each arm, in place of its own limit")
    parser.add_argument(
        "--tiny", action="store_true", help="a toy model and few tokens, to try the script without a GPU"
    )
    parser.add_argument("--arm", help=argparse.SUPPRESS)


def default_models() -> Path:
    """A folder in memory where there is one, else the folder for temporary files."""
    memory = Path("/dev/shm")
    return (memory if memory.is_dir() else Path(tempfile.gettempdir())) / "lydite-models"


def run(given: argparse.Namespace, arms: Mapping[str, Arm], case: str, config: dict[str, Any]) -> None:
    """Runs one arm in this process, or each of those asked for in its own; or pairs what was measured."""
    if given.join is not None:
        for line in join(read_lines(given.join)):
            write_line(given.json, line)
        return
    if given.arm is not None:
        arm, terminal = arms[given.arm], _own_terminal()
        arm.run(given, Writer(given.arm, arm.ours, case, command(given), device_name(), config, given.json, terminal))
        return
    wanted = [one for one in given.arms.split(",") if one]
    unknown = [one for one in wanted if one not in arms]
    if unknown:
        raise SystemExit(f"there is no arm {', '.join(unknown)}; there are {', '.join(arms)}")
    failed = [name for name in wanted if not _run_alone(name, arms[name], given, case)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def command(given: argparse.Namespace) -> str:
    """The command that measures this arm again, without the folders of one machine."""
    words = [f"python -m benchmarks.{_script()}"]
    for name, value in vars(given).items():
        if name in _UNSAID or value in (None, False):
            continue
        shown = given.arm if name == "arms" else value
        words.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {shown}"))
    return " ".join(words)


def _run_alone(name: str, arm: Arm, given: argparse.Namespace, case: str) -> bool:
    given.logs.mkdir(parents=True, exist_ok=True)
    log = given.logs / f"{_script()}-{name}.log"
    seconds = given.timeout or arm.seconds
    print(f"{name}, at most {seconds} s", flush=True)
    begun = time.perf_counter()
    log.write_text("")
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{_script()}", *sys.argv[1:], "--arm", name],
        env={**os.environ, **(arm.environment or {}), "LYDITE_BENCHMARK_LOG": str(log)},
        start_new_session=True,
    )
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _end_group(process)
    spent = time.perf_counter() - begun
    if code == 0:
        print(f"  {name}: done in {spent:.0f} s", flush=True)
        return True
    why = f"was ended after {seconds} s" if code is None else f"failed with status {code} after {spent:.0f} s"
    tail = log.read_text(errors="replace").splitlines()[-_TAIL:]
    print(f"  {name} {why}; the end of its log:", *(f"    {line}" for line in tail), sep="\n", flush=True)
    write_line(
        given.json,
        {"case": case, "arm": name, "failed": why, "log": tail[-5:], "versions": versions(), "commit": commit()},
    )
    return False


def _script() -> str:
    return Path(sys.argv[0]).stem


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends whatever an arm has left running: vLLM and lydite start processes of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _own_terminal() -> TextIO:
    """The terminal for results alone; whatever libraries print goes to the arm's log."""
    terminal = os.fdopen(os.dup(1), "w")
    log = os.environ.get("LYDITE_BENCHMARK_LOG")
    if log:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)
    return terminal
