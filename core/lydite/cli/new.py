"""`lydite new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

new_app = typer.Typer(
    help="Begin a plugin package of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@new_app.callback()
def new() -> None:
    """Begin a plugin package of your own."""


@new_app.command("reward", short_help="Write a package with a reward, its cases and its test.")
def reward(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Lower-case words and hyphens, such as my-rubric.", show_default=False)
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="FOLDER", help="Where the package's folder is made.", show_default=False)
    ] = Path(),
) -> None:
    """Write a package with a reward, its cases and its test, which passes `lydite check` as it is."""
    from lydite.scaffold import write_reward_package

    written = write_reward_package(name, into)
    print(f"{written.folder}")
    for file in written.files:
        print(f"  {file.as_posix()}")
    print(f"\nnext:\n  cd {written.folder}\n  pip install --editable .\n  lydite check {written.reward}")
