"""`lydite check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import BAD_INPUT, FAILED
from lydite.cli.options import options_from
from lydite.cli.shared_options import PluginFiles, RewardOptions, given_files
from lydite.cli.speaking import print_error, print_json
from lydite.cli.writing import write_json
from lydite.errors import ConfigError, DataError, RewardError

if TYPE_CHECKING:
    from lydite.testing import CheckReport


def check(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A reward that a plugin offers, or module:function.", show_default=False),
    ] = None,
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE.jsonl", help="The table of cases; else the reward's own.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="RUN.toml",
            help="Take the gold answers of a run's data as cases; NAME is a reward of that run, with its options.",
        ),
    ] = None,
    plugin: PluginFiles = None,
    option: RewardOptions = None,
    format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="The format that finds the answer in a completion.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every reward that is installed.")] = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the report as JSON to this file; - prints it.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name what was skipped and what was fine.")] = False,
) -> None:
    """Check a reward: its cases, attacks on it, hostile input, its contract and its source."""
    if every == (name is not None):
        raise ConfigError("check needs the name of a reward, or --all for every one that is installed")
    if every and (cases or run or option or format):
        raise ConfigError(
            "--all checks every reward with its own cases; leave out --cases, --run, --option and --format"
        )
    files = given_files(plugin)
    try:
        reports = _reports(name, cases, run, files, options_from("--option", option), format, as_json, verbose)
    except (DataError, RewardError) as error:
        print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error
    if as_json is not None:
        records = [one.record() for one in reports]
        found = {"ok": all(one.ok for one in reports), "rewards": records} if every else records[0]
        print_json(found) if str(as_json) == "-" else write_json("--json", as_json, found)
    if not all(one.ok for one in reports):
        raise typer.Exit(FAILED)


def _reports(
    name: str | None,
    cases: Path | None,
    run: Path | None,
    plugin: list[Path],
    options: dict[str, Any],
    format: str | None,
    as_json: Path | None,
    verbose: bool,
) -> list[CheckReport]:
    from lydite import testing
    from lydite.plugins import load_plugins

    names = [] if name is None else [name]
    if name is None:
        offers = load_plugins(files=plugin, strict=False).offers
        names = sorted({*offers["rewards"], *offers["group_rewards"]})
        if not names:
            raise ConfigError("no plugin that is installed offers a reward")
    reports = []
    with testing.worker_pool() as pool:
        for one in names:
            report = testing.check(one, cases=cases, run=run, options=options, plugins=plugin, format=format, pool=pool)
            reports.append(report)
            if as_json is None or str(as_json) != "-":
                _print(report, verbose)
    return reports


def _print(report: CheckReport, verbose: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from lydite.testing.wording import explained

    console = Console(highlight=False)
    for line in explained(report, verbose=verbose):
        style = "red" if line.strip().startswith("FAILED") else "yellow" if "allowed by the author" in line else ""
        console.print(Text(line, style=style), soft_wrap=True)
