"""`lydite replay`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lydite.cli import FAILED
from lydite.cli.runs import find_run
from lydite.cli.shared_options import LeftOut
from lydite.cli.speaking import print_json

if TYPE_CHECKING:
    from lydite.replay import Replay


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or its name.", show_default=False)],
    step: Annotated[int, typer.Option("--step", metavar="N", min=1, help="The step to redo.", show_default=False)],
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="Redo it on this device, such as cpu or cuda.")
    ] = None,
    kernels: Annotated[
        str | None,
        typer.Option(
            "--kernels", metavar="off", help="Turn off lydite's kernels: off for all, or names with commas between."
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key, such as share_prompts=false. Can be repeated."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="SHARE",
            min=0.0,
            help="Relative difference that counts as the same; otherwise 0 where the run was made, else 0.02 a step.",
        ),
    ] = None,
    no_plugin: LeftOut = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Redo a step's updates from its saved rollouts, and compare its figures with the recorded ones."""
    folder = find_run(run)
    set_keys = [*(changes or ()), *([f'model.device="{device}"'] if device is not None else [])]
    also = []
    if kernels is not None:
        os.environ["LYDITE_KERNELS"] = kernels
        also.append(f"LYDITE_KERNELS={kernels}")
        from lydite.kernels import kernel_states

        kernel_states()  # refuses names that are no kernels, on devices too where they do not run

    from lydite.replay import replay_step

    found = replay_step(
        folder, step, changes=set_keys, tolerance=tolerance, also_changed=also, block=tuple(no_plugin or ())
    )
    if as_json:
        print_json(found.to_json())
    else:
        _print_replay(Console(highlight=False, soft_wrap=True), found)
    if not found.same:
        raise typer.Exit(FAILED)


def _print_replay(console: Console, found: Replay) -> None:
    asked = found.asked
    begun = f"its checkpoint of step {found.start}" if found.start else "the adapter's fresh start"
    console.print(Text(f"step {asked.step} of {found.folder}, redone on {found.device} from {begun}"))
    for line in found.changes:
        console.print(Text(f"not as it was: {line}"))
    for line in found.moved:
        console.print(Text(line))
    console.print()
    table = Table("figure", box=None, pad_edge=False)
    for name in ("recorded", "redone", "difference"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in asked.figures:
        gap = one.difference
        table.add_row(
            one.name,
            _number(one.recorded),
            _number(one.redone),
            "" if not gap else f"{gap:+.3g}",
            "" if one.agrees(asked.tolerance) else "differs",
        )
    console.print(table)
    console.print()
    for line in _verdict(found):
        console.print(Text(line))


def _verdict(found: Replay) -> list[str]:
    asked, exact = found.asked, found.asked.tolerance == 0.0
    if all(one.recorded is None for one in asked.figures):
        return [f"the run recorded no figures of step {asked.step} to compare with: it ended before they were written"]
    within = "to the last bit" if exact else f"within {asked.tolerance:g} of their size"
    lines = [
        f"all {len(asked.figures)} figures are the same {within}"
        if asked.same
        else f"{len(asked.apart)} of {len(asked.figures)} figures are not the same {within}"
    ]
    if found.first_apart is not None and found.first_apart < asked.step:
        lines.append(f"the first step that differs is {found.first_apart}: look there with --step {found.first_apart}")
    if found.weights_gap is not None:
        gap = found.weights_gap
        same = "are those of its checkpoint, to the last bit"
        differ = f"differ from those of its checkpoint by {gap:.3g} at most"
        lines.append(f"the weights after step {asked.step} {same if gap == 0.0 else differ}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
