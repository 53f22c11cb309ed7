"""`lydite plugins`: what is installed, what one thing takes, and what is wrong. None of it loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli.plugins.doctor import diagnosis, print_diagnosis
from lydite.cli.plugins.info import descriptions, print_descriptions
from lydite.cli.plugins.listing import listing, print_listing
from lydite.cli.shared_options import AsJson, ListedFiles, given_files
from lydite.cli.speaking import print_json
from lydite.plugins import Plugins, load_plugins

plugins_app = typer.Typer(
    help="List plugins, describe one, or find out why one fails.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@plugins_app.callback(invoke_without_command=True)
def plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List plugins, describe one, or find out why one fails."""
    if context.invoked_subcommand is None:
        list_command(as_json)
    elif as_json:
        raise typer.BadParameter(f"put it after the command: lydite plugins {context.invoked_subcommand} ... --json")


@plugins_app.command("list")
def list_command(as_json: AsJson = False, plugin: ListedFiles = None) -> None:
    """List what is installed and what each plugin offers."""
    found = listing(_load(plugin))
    print_json(found) if as_json else print_listing(found)


@plugins_app.command("info")
def info_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A distribution, a plugin, or something it offers.")],
    as_json: AsJson = False,
    plugin: ListedFiles = None,
) -> None:
    """Describe a plugin, or one thing that it offers."""
    found = descriptions(_load(plugin), name)
    print_json(found) if as_json else print_descriptions(found)


@plugins_app.command("doctor")
def doctor_command(as_json: AsJson = False, plugin: ListedFiles = None) -> None:
    """Explain every plugin that fails to load."""
    found = diagnosis(_load(plugin))
    print_json(found) if as_json else print_diagnosis(found)
    if found["failures"]:
        raise typer.Exit(1)


def _load(files: list[Path] | None) -> Plugins:
    return load_plugins(files=given_files(files), strict=False)
