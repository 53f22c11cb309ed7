"""`lydite score` on saved completions: they are judged again, and what changed is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lydite.cli.score_tables import print_changes
from lydite.cli.writing import write_json


@dataclass(frozen=True, slots=True)
class SavedOptions:
    """The options that are there for saved completions alone; None where they were left out."""

    format: str | None
    reference: str | None
    data: Path | None
    group_size: int | None


def score_saved(
    completions: Path,
    typed: SavedOptions,
    *,
    stack: Path,
    overrides: Sequence[str],
    plugins: Sequence[Path],
    out: Path | None,
    as_json: Path | None,
) -> None:
    """Judges saved completions with the rewards of a stack and prints the tables; see `lydite.rescore`."""
    from lydite.plugins import load_plugins
    from lydite.prepare import make_format
    from lydite.rescore import open_saved, read_golds, read_stack, rescore
    from lydite.rescore.spool import Spool
    from lydite.rescore.stackfile import has_format

    if typed.format is not None:
        overrides = [*overrides, f"format.use={json.dumps(typed.format)}"]
    config = read_stack(stack, overrides=overrides, plugin_files=plugins)
    loaded = load_plugins(allow=config.plugins, files=config.plugin_files)
    anew = make_format(config.format, loaded) if typed.format is not None or has_format(stack) else None
    key = typed.reference or "reference"
    golds = None if typed.data is None else read_golds(typed.data, key)
    saved = open_saved(completions, reference=key, group_size=typed.group_size)
    with nullcontext() if out is None else Spool(out) as spool:
        found: dict[str, Any] = rescore(
            saved,
            config,
            loaded,
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
