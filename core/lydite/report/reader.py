"""Reading a run folder, finished or still growing.

A run appends to its logs while somebody looks: a last line that is only half there is left for later, a
file that does not exist yet is empty, and a line that is damaged is named instead of ending the reading.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from lydite.errors import ConfigError
from lydite.suggest import did_you_mean

Record: TypeAlias = Mapping[str, Any]
"""One line of a log, or one JSON file."""

_MARKS: Final = ("config.toml", "manifest.json", "metrics.jsonl")
"""Any one of these makes a folder a run folder; a run that has just started may have only the first."""
_NAMED_AT_MOST: Final = 3  # damaged lines of one file; more of them say nothing new


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: its record, or None where it is damaged, and the offset in bytes after it."""

    record: Record | None
    end: int


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run folder holds, its completions aside: those are read one by one with `completions`."""

    folder: Path
    name: str
    config_text: str
    config: Record
    manifest: Record
    metrics: tuple[Record, ...]
    """By step, from the first."""
    timings: tuple[Record, ...]
    evals: tuple[Record, ...]
    skipped: tuple[Record, ...]
    summary: Record | None
    """None until the run has ended."""
    problems: tuple[str, ...] = ()
    """What could not be read, in words."""
    judges: Record | None = None
    """What judges were asked and what it cost; None where nobody was."""
    probes: tuple[Record, ...] = ()
    """Attacks on the run's rewards, and what they made of them."""

    @property
    def steps(self) -> int:
        """Steps that are done."""
        return int(self.metrics[-1]["step"]) if self.metrics else 0

    @property
    def max_steps(self) -> int | None:
        """Steps that were asked for, where the configuration is there to say."""
        train = self.config.get("train")
        given = train.get("max_steps") if isinstance(train, Mapping) else None
        return given if isinstance(given, int) else None

    @property
    def first_eval(self) -> Record | None:
        """The evaluation before training."""
        return self.evals[0] if self.evals else None

    @property
    def last_eval(self) -> Record | None:
        """The latest evaluation."""
        return self.evals[-1] if self.evals else None

    @property
    def best_eval(self) -> Record | None:
        """The evaluation with the highest value; the earliest of equals."""
        return max(self.evals, key=lambda one: float(one["value"])) if self.evals else None

    def completions(self) -> Iterator[Record]:
        """Every completion of the run, in the order in which they were sampled."""
        return (line.record for line in read_lines(self.folder / "completions.jsonl") if line.record is not None)


def read_run(folder: Path | str) -> RunData:
    """The run in a folder.

    Raises:
        ConfigError: when there is no such folder, or it holds no run.
    """
    folder = Path(folder)
    check_run_folder(folder)
    problems: list[str] = []
    config_text = _text(folder / "config.toml")
    return RunData(
        folder=folder,
        name=folder.resolve().name,
        config_text=config_text,
        config=_config(config_text, problems),
        manifest=_json(folder / "manifest.json", problems) or {},
        metrics=_steps(folder / "metrics.jsonl", problems),
        timings=_steps(folder / "timings.jsonl", problems),
        evals=tuple(
            one for one in _steps(folder / "evals.jsonl", problems) if isinstance(one.get("value"), int | float)
        ),
        skipped=_records(folder / "skipped.jsonl", problems),
        summary=_json(folder / "summary.json", problems),
        judges=_json(folder / "judges.json", problems),
        probes=_records(folder / "probes.jsonl", problems),
        problems=tuple(problems),
    )


def check_run_folder(folder: Path) -> None:
    """Nothing, where the folder holds a run.

    Raises:
        ConfigError: where it does not, with the nearest run beside it.
    """
    if any((folder / mark).is_file() for mark in _MARKS):
        return
    what = "there is no such folder" if not folder.exists() else f"it has none of {', '.join(_MARKS)}"
    parent = folder.parent if folder.parent.is_dir() else Path()
    runs = [child.name for child in parent.iterdir() if any((child / mark).is_file() for mark in _MARKS)]
    nearest = did_you_mean(folder.name, runs) if runs else ""
    raise ConfigError(f"{folder} is not a run folder: {what}; give the folder of a run, such as runs/NAME{nearest}")


def read_lines(path: Path, start: int = 0) -> Iterator[Line]:
    """The lines of a log from an offset in bytes on; a last line that is still being written is not among them."""
    if not path.is_file():
        return
    end = start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            end += len(line)
            text = line.strip()
            record = _object(text)
            if record is None and not line.endswith(b"\n"):
                return
            if text:
                yield Line(record, end)


def _object(text: bytes) -> Record | None:
    try:
        record = json.loads(text)
    except ValueError:  # also what cannot be decoded
        return None
    return record if isinstance(record, dict) else None


def _records(path: Path, problems: list[str]) -> tuple[Record, ...]:
    lines = list(read_lines(path))
    damaged = [str(number) for number, line in enumerate(lines, 1) if line.record is None]
    if damaged:
        shown = ", ".join(damaged[:_NAMED_AT_MOST]) + (" and more" if len(damaged) > _NAMED_AT_MOST else "")
        problems.append(f"{path.name}: line {shown} cannot be read and is left out")
    return tuple(line.record for line in lines if line.record is not None)


def _steps(path: Path, problems: list[str]) -> tuple[Record, ...]:
    """Records by step; of two for the same step the later one, which a resumed run wrote."""
    by_step = {one["step"]: one for one in _records(path, problems) if isinstance(one.get("step"), int)}
    return tuple(by_step[step] for step in sorted(by_step))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _json(path: Path, problems: list[str]) -> Record | None:
    if not path.is_file():
        return None
    record = _object(path.read_bytes())
    if record is None:
        problems.append(f"{path.name} cannot be read")
    return record


def _config(text: str, problems: list[str]) -> Record:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"config.toml cannot be read: {error}")
        return {}
