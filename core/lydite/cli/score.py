"""`lydite score`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer


def score(
    completions: Annotated[
        Path,
        typer.Argument(
            metavar="COMPLETIONS",
            help="A run folder, its completions.jsonl, other JSON lines, or TRL's parquet files.",
            show_default=False,
        ),
    ],
    stack: Annotated[
        Path,
        typer.Option(
            "--stack", metavar="STACK.toml", help="The rewards, as a run's configuration has them.", show_default=False
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key of the stack. Can be repeated."),
    ] = None,
    plugin: Annotated[
        list[Path] | None,
        typer.Option("--plugin", metavar="FILE.py", help="Use a local Python file as a plugin. Can be repeated."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Read the answers anew by this format."),
    ] = None,
    reference: Annotated[
        str, typer.Option("--reference", metavar="KEY", help="The key or column with the gold answer.")
    ] = "reference",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE.jsonl", help="Gold answers and columns, by id or prompt."),
    ] = None,
    group_size: Annotated[
        int | None,
        typer.Option("--group-size", metavar="N", min=1, help="Every N rows are a group, whatever they say."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.jsonl", help="Write every completion with its new scores.")
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what changed to this file as JSON.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Worker processes; otherwise as many as there are cores."),
    ] = None,
) -> None:
    """Judge saved completions again with other rewards or weights, and show what that changes."""
    from lydite.cli.score_tables import print_changes
    from lydite.cli.writing import write_json
    from lydite.plugins import load_plugins
    from lydite.prepare import make_format
    from lydite.rescore import open_saved, read_golds, read_stack, rescore
    from lydite.rescore.spool import Spool
    from lydite.rescore.stackfile import has_format

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    overrides = [*(changes or ()), f"stack.workers={workers or cores}"]
    if format is not None:
        overrides.append(f"format.use={json.dumps(format)}")
    config = read_stack(stack, overrides=overrides, plugin_files=plugin or ())
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    anew = make_format(config.format, plugins) if format is not None or has_format(stack) else None
    golds = None if data is None else read_golds(data, reference)
    saved = open_saved(completions, reference=reference, group_size=group_size)
    with nullcontext() if out is None else Spool(out) as spool:
        found: dict[str, Any] = rescore(
            saved,
            config,
            plugins,
            format=anew,
            golds=golds,
            write=None if spool is None else spool.write,
            progress=_say if sys.stderr.isatty() else None,
        )
    if as_json is not None:
        write_json("--json", as_json, {"completions": str(completions), "stack": str(stack), **found})
    print_changes(found)


def _say(rows: int) -> None:
    print(f"\r{rows} completions", end="", file=sys.stderr, flush=True)
