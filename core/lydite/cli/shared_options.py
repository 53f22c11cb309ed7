"""Options that several commands have, each in the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

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
