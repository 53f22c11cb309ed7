"""Options that several commands have, each in the same words everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from lydite.errors import ConfigError
from lydite.suggest import file_meant

PluginFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Use a local Python file as a plugin. Can be repeated."),
]
LeftOut: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--no-plugin", metavar="NAME", help="Leave out a plugin or a distribution. Can be repeated."),
]
ListedFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Take a local Python file as a plugin too. Can be repeated."),
]
"""The same for a command that shows what is installed."""
RewardOptions: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the reward. Can be repeated."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def given_files(plugin: Sequence[Path] | None) -> list[Path]:
    """The files that `--plugin` named.

    Raises:
        ConfigError: when one is not there, or is no Python file; one that a configuration names is told by its key.
    """
    for path in plugin or ():
        if not path.is_file():
            raise ConfigError(f"--plugin {path}: there is no such file{file_meant(path)}")
        if path.suffix != ".py":
            raise ConfigError(f"--plugin {path}: not a Python file")
    return list(plugin or ())
