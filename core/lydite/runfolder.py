"""A run is a folder: its files, what is appended to them, and how they go back to a checkpoint."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from lydite.disk import why_unwritten, write_atomically
from lydite.errors import CheckpointError, ConfigError, WriteError

LOGS: Final = ("metrics.jsonl", "timings.jsonl", "completions.jsonl", "probes.jsonl", "evals.jsonl", "pool.jsonl")
"""The files that grow while a run goes on."""


class RunFolder:
    """The folder of one run, held by one process at a time.

    Use it as a context manager: the lock is given back at the end, and by the operating system when the
    process is killed.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        """False where another process of the same run writes it: then nothing is written here."""
        self._lock: int | None = None

    @classmethod
    def create(cls, path: Path, *, overwrite: bool) -> RunFolder:
        """A new, empty run folder.

        Raises:
            ConfigError: when the folder holds something already, and it may not be overwritten, or when it cannot be
                made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the run's folder {path} cannot be made: {why_unwritten(error, path)}; take an output_dir where you "
                "may write"
            ) from None
        if any(child.name not in _BEFORE_A_RUN for child in path.iterdir()):
            is_run = (path / "config.toml").is_file()
            if not overwrite or not is_run:
                what = "an earlier run" if is_run else "files that are no run"
                todo = (
                    "take another --name, go on with --resume, or start over with --overwrite"
                    if is_run
                    else ("take another --name or output_dir")
                )
                raise ConfigError(f"{path} holds {what}; {todo}")
        folder = cls(path)
        folder.acquire()
        # The configuration goes last: with it the folder is still a run, should this be stopped halfway.
        for child in sorted(path.iterdir(), key=lambda child: child.name == "config.toml"):
            if child.name == _LOCK:
                continue
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of a run that was stopped.

        Raises:
            ConfigError: when it is no run folder.
        """
        if not (path / "config.toml").is_file():
            raise ConfigError(f"{path} is not a run folder: it has no config.toml")
        folder = cls(path)
        folder.acquire()
        return folder

    def acquire(self) -> None:
        """Takes the folder for this process.

        Raises:
            ConfigError: when another process holds it, or nothing can be written there.
        """
        try:
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            why = why_unwritten(error, self.path)
            raise ConfigError(f"nothing can be written to the run's folder {self.path}: {why}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ConfigError(f"{self.path} is in use by another process") from None
        self._lock = lock

    def close(self) -> None:
        """Gives the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, log: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Adds one JSON line for each record, and hands them to the operating system: all of them or none.

        Raises:
            WriteError: when they cannot be written, for example on a full disk.
        """
        if not self.writes:
            return
        lines = "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
        path = self.path / log
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            with suppress(OSError):
                os.truncate(path, size)  # a disk that fills up takes half a line, which no reader could read
            raise WriteError(f"cannot write {path}: {why_unwritten(error, path)}") from error

    def offsets(self) -> dict[str, int]:
        """How many bytes each log has now."""
        return {log: (self.path / log).stat().st_size if (self.path / log).exists() else 0 for log in LOGS}

    def rewind(self, offsets: Mapping[str, int]) -> None:
        """Cuts every log back to an earlier length, so that what follows is written again.

        Raises:
            CheckpointError: when a log is shorter than it was: somebody changed it.
        """
        for log in LOGS if self.writes else ():
            path, size = self.path / log, offsets.get(log, 0)
            have = path.stat().st_size if path.exists() else 0
            if have < size:
                raise CheckpointError(
                    f"{path} has {have} bytes, and its checkpoint knows of {size}; "
                    "it was changed: put it back, or start a new run under another --name"
                )
            if have > size:
                os.truncate(path, size)

    def write_text(self, name: str, text: str) -> Path:
        """Writes a whole file so that a reader finds the old one or the new one, never half of it."""
        path = self.path / name
        return write_atomically(path, text.encode()) if self.writes else path

    def write_bytes(self, name: str, content: bytes) -> Path:
        """As `write_text`; the name may have a folder in front, which is made."""
        path = self.path / name
        return write_atomically(path, content) if self.writes else path

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Writes a JSON file for people and programs, in the order of its keys."""
        return self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of this folder; empty when there is none.

        Raises:
            CheckpointError: when it holds something else.
        """
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path} is damaged: {error}; without it the run goes on all the same, so delete it and go on"
            ) from None


_LOCK: Final = ".lock"
_BEFORE_A_RUN: Final = (_LOCK, "config.toml.draft")
"""What a process leaves that was killed before its run began; nobody needs it."""
