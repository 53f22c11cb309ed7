"""`lydite plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lydite.cli import FAILED
from lydite.cli.shared_options import PluginFiles, given_files
from lydite.cli.tables import plain_table
from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError

if TYPE_CHECKING:
    from lydite.dryrun import Measured
    from lydite.planner import FreeMemory, ModelShapes
    from lydite.planner.longest import Longest
    from lydite.planner.plan import MemoryPlan


def plan(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The run.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as optim=adamw_8bit. Can be repeated."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="Plan for a GPU with this much memory, such as 24GiB, instead of what is free here.",
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the model, try one step at full length, and compare with the plan.")
    ] = False,
    longest: Annotated[
        bool,
        typer.Option(
            "--longest",
            help="Find the longest completion that fits behind a prompt of the configured length; with --measure by "
            "training on some.",
        ),
    ] = False,
    plugin: PluginFiles = None,
) -> None:
    """Show what a run takes of the device's memory, part by part, and what to change when it does not fit."""
    if measure and memory is not None:
        raise ConfigError(
            "--measure tries the run on this machine, and --memory plans for another; leave one of them out"
        )
    chosen = read_config(config, overrides=changes or (), plugin_files=given_files(plugin))

    import torch

    from lydite.planner.memory import bytes_of
    from lydite.planner.plan import plan_memory
    from lydite.planner.source import shapes_of_source
    from lydite.plugins import load_plugins
    from lydite.policy.dtypes import settled

    size = None if memory is None else bytes_of(memory)
    shapes = shapes_of_source(chosen.model, load_plugins(allow=chosen.plugins, files=chosen.plugin_files))
    free = _memory(chosen, size)
    chosen = settled(chosen, torch.device(free.device))
    engine = _engine(chosen, free, assumed=size is not None)
    console = Console(highlight=False)
    if longest:
        _print_longest(console, chosen, shapes, free, engine, assumed=size is not None, measure=measure)
        return
    found = plan_memory(chosen, shapes, free, engine)
    _print_plan(console, chosen, shapes, found, assumed=size is not None)
    if not found.fits:
        _print_advice(console, chosen, shapes, found)
    if measure:
        from lydite.dryrun import dry_run

        _print_measured(console, dry_run(chosen), found)
    if not found.fits:
        raise typer.Exit(FAILED)


def _memory(config: RunConfig, size: int | None) -> FreeMemory:
    """What is free here, or a device of that size with nothing on it."""
    from lydite.planner import FreeMemory, free_memory
    from lydite.policy.dtypes import device_for

    if size is not None:
        return FreeMemory("cpu" if config.model.device == "cpu" else "cuda", size, size, policy_loaded=False)
    import torch

    if config.model.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "model.device = 'cuda', and torch sees no CUDA device; --memory 24GiB plans for one that is not here"
        )
    return free_memory(device_for(config.model), policy_loaded=False)


def _engine(config: RunConfig, memory: FreeMemory, *, assumed: bool) -> Literal["vllm", "hf", "scripted"]:
    """What `engine.use = "auto"` comes to there; on a device that is not here vLLM is taken to be installed."""
    from lydite.rollout.vllm import can_run

    if config.engine.use != "auto":
        return config.engine.use
    return "vllm" if memory.device == "cuda" and (assumed or can_run()) else "hf"


def _print_plan(console: Console, config: RunConfig, shapes: ModelShapes, found: MemoryPlan, *, assumed: bool) -> None:
    from lydite.planner.memory import in_units

    where = "a CPU" if found.memory.device == "cpu" else "a GPU"
    title = f"{config.model.path}, {_count(shapes.parameters)} parameters, sampled by {found.engine} on {where}"
    console.print(Text(f"{config.name}: {title}", style="bold"), soft_wrap=True)
    table = _table("at most", "rollout", "training")
    for part in found.parts:
        table.add_row(part.name, *(in_units(size) if size else "" for size in (part.rollout, part.training)))
    free = found.memory.free
    table.add_section()
    table.add_row("sum", in_units(found.rollout), in_units(found.training), style="bold")
    table.add_row("in all" if assumed else "free", in_units(free), in_units(free))
    table.add_row("left", *(_left(free - taken) for taken in (found.rollout, found.training)))
    console.print(table)
    for line in found.lines:
        console.print(Text(f"- {line}"), soft_wrap=True)


def _print_advice(console: Console, config: RunConfig, shapes: ModelShapes, found: MemoryPlan) -> None:
    from lydite.planner.advice import advise
    from lydite.planner.memory import in_units

    said = found.problem or f"it does not fit: {in_units(found.missing)} are missing"
    console.print(Text(f"\n{said}", style="red"), soft_wrap=True)
    advice = advise(config, shapes, found.memory, found.engine)
    if advice.changes:
        console.print("what to change, in this order:")
    for place, change in enumerate(advice.changes, 1):
        console.print(Text(f"{place}. {change}"), soft_wrap=True)
    if advice.plan.fits:
        console.print(
            f"then it fits: {in_units(advice.plan.rollout)} in rollouts, {in_units(advice.plan.training)} in training"
        )
    else:
        console.print(
            f"even so {in_units(advice.plan.missing)} are missing; take a smaller model or a larger device"
            if advice.plan.missing
            else "even so it does not fit; take a smaller model or a larger device"
        )


def _print_measured(console: Console, measured: Measured, planned: MemoryPlan) -> None:
    from lydite.planner.memory import in_units

    context = planned.context  # on the device before anything was measured
    rows = (
        ("policy loaded", planned.loaded, measured.loaded),
        ("rollout", planned.rollout - context, measured.rollout),
        ("training", planned.training - context, measured.training),
    )
    table = _table("peak", "planned", "measured", "measured / planned")
    for name, plan, got in rows:
        table.add_row(name, in_units(plan), in_units(got), f"{got / plan:.2f}" if plan else "")
    console.print()
    console.print(Text(f"measured with the engine {measured.engine}: {measured.described}"), soft_wrap=True)
    console.print(table)
    for line in measured.lines:
        console.print(Text(f"- {line}"), soft_wrap=True)


def _print_longest(
    console: Console,
    config: RunConfig,
    shapes: ModelShapes,
    memory: FreeMemory,
    engine: Literal["vllm", "hf", "scripted"],
    *,
    assumed: bool,
    measure: bool,
) -> None:
    from lydite.planner.longest import longest, with_completions
    from lydite.planner.plan import plan_memory

    planned = longest(config, shapes, memory, engine)
    shown = with_completions(config, max(1, planned.completion))
    _print_plan(console, shown, shapes, plan_memory(shown, shapes, memory, engine), assumed=assumed)
    console.print(Text(f"\nthe longest that fits, as planned: {_length(planned)}"), soft_wrap=True)
    reached = planned
    if measure:
        from lydite.dryrun.longest import longest_trained

        tried = longest_trained(config, planned.completion)
        console.print(
            Text(
                f"the longest that was trained on, in {tried.trials} trials: {_length(tried.found)}; "
                f"{tried.recomputed} of {tried.layers} layers were computed again"
            ),
            soft_wrap=True,
        )
        reached = tried.found
    if not reached.completion:
        raise typer.Exit(FAILED)


def _length(found: Longest) -> str:
    if not found.completion:
        return f"none; a prompt of {found.prompt} tokens leaves no room for a completion of one"
    whole = ", all that the model can read" if found.is_whole_context else ""
    return f"{found.prompt} tokens of prompt and {found.completion} of completion, {found.tokens} together{whole}"


def _left(size: int) -> Text:
    from lydite.planner.memory import in_units

    return Text(in_units(size)) if size >= 0 else Text(f"{in_units(-size)} missing", style="red")


def _count(count: int) -> str:
    return f"{count / 1e9:.2f}B" if count >= 1e9 else f"{count / 1e6:.1f}M"


def _table(*columns: str) -> Table:
    table = plain_table()
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=True)
    return table
