"""`lydite train --processes N`: this process becomes the launcher of N others, each of which runs the same command."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

import typer

from lydite.config import RunConfig
from lydite.errors import ConfigError, ProcessError


def is_first() -> bool:
    """True in the process that speaks for its run: the first of several, or the only one."""
    from lydite.distributed import launched

    return launched()[0] == 0


def take_own_gpu(config: RunConfig, environ: MutableMapping[str, str] = os.environ) -> None:
    """Leaves a process that a launcher started the one GPU of its number on this host, as its first and only one.

    So whatever takes "the GPU", such as an engine in this process, takes the right one. CUDA reads the variable once,
    and libraries start it when they are imported: this comes before them.
    """
    if int(environ.get("WORLD_SIZE", "1")) == 1 or config.model.device == "cpu":
        return
    import torch

    count, place = torch.cuda.device_count(), int(environ.get("LOCAL_RANK", "0"))
    given = environ.get("CUDA_VISIBLE_DEVICES")
    if count and place < count:
        environ["CUDA_VISIBLE_DEVICES"] = given.split(",")[place] if given else str(place)
        if torch.cuda.device_count() == 1:  # else CUDA has been started to count, and the GPU is chosen by LOCAL_RANK
            environ["LOCAL_RANK"] = "0"


def started_here(context: typer.Context, config: RunConfig, count: int, folder: Path, *, dry_run: bool) -> bool:
    """True when the run was made in `count` processes that this one started, and False when it is one of them.

    Raises:
        ConfigError: when the run cannot have so many, or a launcher has started another number.
        ProcessError: when a process was killed; it says how to go on.
        typer.Exit: with the exit code of a process that failed, and has said why.
    """
    from lydite.distributed import check_count, launch, launched

    _, launched_count = launched()
    if launched_count > 1:
        if launched_count != count:
            raise ConfigError(
                f"--processes {count}, and a launcher has started {launched_count} processes already; leave it out"
            )
        return False
    check_count(config, count)
    if count == 1 or dry_run:
        return False
    arguments = context.find_root().obj or sys.argv[1:]
    try:
        code = launch(count, arguments)
    except ProcessError as error:
        raise ProcessError(f"{error}; to go on: lydite train --resume {folder} --processes {count}") from error
    if code:
        raise typer.Exit(code)
    return True
