"""`lydite train`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lydite.cli import INTERRUPTED, TERMINATED
from lydite.cli.from_trl import config_from_trl
from lydite.cli.processes import is_first, started_here, take_own_gpu
from lydite.cli.runs import CONFIG, find_run
from lydite.cli.shared_options import LeftOut, PluginFiles, given_files
from lydite.cli.signals import Terminated, terminated_as_interrupted
from lydite.cli.speaking import print_note
from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError


def train(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG.toml", help="What to train, and on what.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as learning_rate=1e-5. Can be repeated."),
    ] = None,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but train nothing.")] = False,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with the run in this folder.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the run's folder; otherwise the file's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Empty the run's folder first.")] = False,
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="N", min=1, help="Train in N processes, one GPU each.", show_default=False),
    ] = None,
    trl: Annotated[
        Path | None,
        typer.Option(
            "--from-trl",
            metavar="FILE.yaml",
            help="Train what a file for `trl grpo` or `trl rloo` says, and write it as TOML.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a model, or go on with a run."""
    folder = None if resume is None else find_run(resume)
    if folder is not None and overwrite:
        raise ConfigError("--resume goes on with a run and --overwrite empties its folder; leave one of them out")
    if trl is not None and (config is not None or folder is not None):
        raise ConfigError("--from-trl says what to train; leave CONFIG.toml and --resume out")
    source = config if trl is None else config_from_trl(trl, changes or (), dry_run=dry_run)
    files = given_files(plugin)
    chosen = _chosen_config(source, changes or (), files, folder, name, label=None if trl is None else str(trl))
    block = tuple(no_plugin or ())

    take_own_gpu(chosen)
    if sys.stderr.isatty() and is_first() and not dry_run:
        print_note("loading torch, the data and the model")  # many seconds, on a machine that has not read them lately
    from lydite import api

    folder_of_run = folder or Path(chosen.output_dir) / chosen.name
    if processes is not None and started_here(context, chosen, processes, folder_of_run, dry_run=dry_run):
        return
    if dry_run:
        for line in api.check(chosen, block=block).lines:
            print(line)
        print("nothing was trained: this was a dry run")
        return
    try:
        with terminated_as_interrupted():
            api.train(chosen, resume=folder, overwrite=overwrite, block=block)
    except KeyboardInterrupt as interruption:
        if is_first():
            print_note(_after_interruption(folder_of_run))
        raise typer.Exit(TERMINATED if isinstance(interruption, Terminated) else INTERRUPTED) from None


def _chosen_config(
    config: Path | Mapping[str, Any] | None, changes: tuple[str, ...] | list[str],
    plugin: tuple[Path, ...] | list[Path], folder: Path | None, name: str | None, *, label: str | None,
) -> RunConfig:  # fmt: skip
    """What to train. A run that is resumed keeps its name, whatever the file is called that is given with it."""
    if folder is not None:
        stored = read_config(folder / CONFIG)
        source = stored if config is None else config
        return read_config(source, overrides=changes, plugin_files=plugin, name=name or stored.name)
    if config is None:
        raise ConfigError("train needs a configuration file, or --resume with the folder of a run")
    return read_config(config, overrides=changes, plugin_files=plugin, name=name, label=label)


def _after_interruption(folder: Path) -> str:
    if not (folder / CONFIG).is_file():
        return "interrupted before the first step; nothing was kept"
    steps = [one.name.partition("-")[2] for one in (folder / "checkpoints").glob("step-*")]
    numbers = [int(one) for one in steps if one.isdigit()]
    kept = f"everything up to step {max(numbers)} is saved" if numbers else "no step is saved yet"
    return f"interrupted; {kept}; to go on: lydite train --resume {folder}"
