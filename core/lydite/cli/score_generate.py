"""`lydite score --generate`: from what was typed to completions that are made, judged and shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from lydite.cli import INTERRUPTED
from lydite.cli.runs import CONFIG, find_run
from lydite.cli.score_tables import print_changes
from lydite.cli.speaking import print_note
from lydite.cli.writing import write_json
from lydite.configfile import read_config
from lydite.errors import ConfigError

_CLEAR_LINE: Final = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """The options that are there for `--generate` alone; None and False where they were left out."""

    run: Path | None
    adapter: Path | None
    heldout: bool
    n: int | None
    num_generations: int | None
    temperature: float | None
    max_completion_length: int | None
    engine: str | None


def score_generate(
    source: Path | None,
    typed: GenerateOptions,
    *,
    stack: Path | None,
    overrides: Sequence[str],
    plugins: Sequence[Path],
    out: Path | None,
    as_json: Path | None,
) -> None:
    """Makes completions with a run's model, judges them and prints the tables; see `lydite.generate`."""
    run = None if typed.run is None else find_run(typed.run)
    if run is not None and typed.adapter is not None:
        raise ConfigError("--run takes the run's own adapter, and --adapter another one; leave one of them out")
    config = _config(source if run is None else source or run / CONFIG)
    changes = [*overrides, *([] if typed.engine is None else [f'engine.use="{typed.engine}"'])]

    from lydite.rescore import read_stack, with_stack
    from lydite.rescore.spool import Spool
    from lydite.rescore.stackfile import has_format

    other = None if stack is None else read_stack(stack)
    whole = config if other is None else with_stack(read_config(config), other)
    chosen = read_config(whole, overrides=changes, plugin_files=plugins)

    from lydite.generate import Wanted, score_generated
    from lydite.learned import find_learned, learned_by_run

    learned = learned_by_run(run) if run is not None else find_learned(typed.adapter) if typed.adapter else None
    wanted = Wanted(typed.n, typed.heldout, typed.num_generations, typed.temperature, typed.max_completion_length)
    try:
        with nullcontext() if out is None else Spool(out) as spool, _progress() as progress:
            found: dict[str, Any] = score_generated(
                chosen,
                wanted,
                learned=learned,
                judged=None if other is None else chosen,
                read_by=other.format if other is not None and stack is not None and has_format(stack) else None,
                write=None if spool is None else spool.write,
                progress=progress,
            )
    except KeyboardInterrupt:
        print_note("interrupted; nothing was written")
        raise typer.Exit(INTERRUPTED) from None
    print_changes(found)
    if as_json is not None:
        named = {"config": str(config), "stack": None if stack is None else str(stack)}
        write_json("--json", as_json, {**named, **found})


def _config(source: Path | None) -> Path:
    if source is None:
        raise ConfigError(
            "--generate needs a run's configuration, such as lydite score run.toml --generate, or --run with the "
            "folder of a run"
        )
    if (source / CONFIG).is_file():
        raise ConfigError(
            f"{source} is a run. To sample from what it has learned: lydite score --generate --run {source}; from its "
            f"model as it was before: lydite score {source / CONFIG} --generate"
        )
    return source


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """While open, a line on a terminal says how many prompts are done; nothing is left of it. None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda done, of: print(f"{_CLEAR_LINE}{done} of {of} prompts", end="", file=sys.stderr, flush=True)
    finally:
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
