"""What is told of a run that could not write its files: what of it is kept, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lydite.checkpoint import newest_step
from lydite.distributed import current
from lydite.errors import WriteError
from lydite.trainer import CHECKPOINTS


@contextmanager
def telling_way_on(folder: Path) -> Iterator[None]:
    """While open, a `WriteError` of the run in this folder is told with the step that is saved and how to go on."""
    try:
        yield
    except WriteError as error:
        raise WriteError(f"{error}\n{_way_on(folder)}") from error


def _way_on(folder: Path) -> str:
    if not (folder / "config.toml").is_file():
        return "nothing of the run is kept: start it again then, with the same command"
    step = newest_step(folder / CHECKPOINTS)
    saved = "no step is saved yet" if step is None else f"everything up to step {step} is saved"
    several = f" --processes {current().count}" if current().count > 1 else ""
    return f"{saved} in {folder}; to go on: lydite train --resume {folder}{several}"
