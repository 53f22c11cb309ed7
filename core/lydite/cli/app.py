"""The commands of `lydite`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli.audit import audit
from lydite.cli.check import check
from lydite.cli.doctor import doctor
from lydite.cli.export import export
from lydite.cli.new import new_app
from lydite.cli.plan import plan
from lydite.cli.plugins import plugins_app
from lydite.cli.replay import replay
from lydite.cli.report import report
from lydite.cli.score import score
from lydite.cli.train import train

app = typer.Typer(
    help="Train language models against rewards that can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train)
app.command()(plan)
app.command()(report)
app.command()(export)
app.command()(replay)
app.command()(audit)
app.command()(score)
app.command()(check)
app.command()(doctor)
app.add_typer(plugins_app, name="plugins")
app.add_typer(new_app, name="new")


def _show_version(asked: bool) -> None:
    if asked:
        from lydite import __version__

        print(f"lydite {__version__}")
        raise typer.Exit


@app.callback()
def lydite(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train language models against rewards that can be checked."""
