"""`lydite score`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lydite.cli.options import names_of_given
from lydite.cli.score_generate import GenerateOptions, score_generate
from lydite.cli.score_saved import SavedOptions, score_saved
from lydite.cli.shared_options import PluginFiles, given_files
from lydite.errors import ConfigError


def score(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="COMPLETIONS",
            help="A run folder, its completions.jsonl, other JSON lines, or TRL's parquet files; with --generate a "
            "run's configuration.",
            show_default=False,
        ),
    ] = None,
    stack: Annotated[
        Path | None,
        typer.Option(
            "--stack",
            metavar="STACK.toml",
            help="The rewards, as a run's configuration has them; with --generate otherwise the configuration's own.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key of the stack or configuration. Can be repeated."
        ),
    ] = None,
    plugin: PluginFiles = None,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Read the answers anew by this format."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="KEY", help="The key or column with the gold answer; otherwise: reference."
        ),
    ] = None,
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
    generate: Annotated[
        bool, typer.Option("--generate", help="Make the completions first, with the configuration's model and data.")
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="RUN", help="With what this run has learned, and by its configuration."),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", metavar="FOLDER", help="With this adapter in peft's format, or this checkpoint."),
    ] = None,
    heldout: Annotated[
        bool, typer.Option("--heldout", help="Ask the held-out prompts, and judge as the run's evaluation does.")
    ] = False,
    n: Annotated[
        int | None,
        typer.Option("--n", metavar="N", min=1, help="Prompts; otherwise at most 64, or all that are held out."),
    ] = None,
    num_generations: Annotated[
        int | None,
        typer.Option(
            "--num-generations",
            metavar="G",
            min=1,
            help="Completions of each prompt; otherwise as in training, or 1 of each that is held out.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", metavar="T", help="Of sampling; 0 takes the likeliest token. Otherwise as in training."
        ),
    ] = None,
    max_completion_length: Annotated[
        int | None,
        typer.Option("--max-completion-length", metavar="TOKENS", min=1, help="Otherwise as in training."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="What samples: auto, vllm or hf.")
    ] = None,
) -> None:
    """Judge saved completions with other rewards or weights, or make new ones with --generate, and show the figures."""
    workers = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    overrides = [*(changes or ()), f"stack.workers={workers}"]
    files = given_files(plugin)
    of_new = GenerateOptions(run, adapter, heldout, n, num_generations, temperature, max_completion_length, engine)
    of_saved = SavedOptions(format, reference, data, group_size)
    if generate:
        if odd := names_of_given(of_saved):
            raise ConfigError(
                f"{odd[0]} is about saved completions, and --generate makes new ones; say it in the configuration"
            )
        score_generate(source, of_new, stack=stack, overrides=overrides, plugins=files, out=out, as_json=as_json)
        return
    if odd := names_of_given(of_new):
        raise ConfigError(f"{odd[0]} is about new completions; add --generate")
    if source is None or stack is None:
        raise ConfigError(
            "score needs saved completions and --stack with the rewards, or --generate with a run's configuration"
        )
    score_saved(source, of_saved, stack=stack, overrides=overrides, plugins=files, out=out, as_json=as_json)
