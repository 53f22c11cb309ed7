"""`lydite audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lydite.cli.audit_tables import print_audit
from lydite.cli.options import options_from
from lydite.cli.shared_options import PluginFiles, RewardOptions, given_files
from lydite.cli.writing import write_json
from lydite.contracts import Format
from lydite.errors import ConfigError, UnknownNameError
from lydite.plugins import Plugins, load_plugins


def audit(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The reward, such as math/equivalent.", show_default=False)
    ],
    labelled: Annotated[
        Path,
        typer.Argument(
            metavar="LABELLED.jsonl", help="Rows {gold, pred, expected}, one on each line.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write everything to this file as JSON.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="NAME2", help="Also list where a second verifier disagrees.")
    ] = None,
    option: RewardOptions = None,
    against_option: Annotated[
        list[str] | None,
        typer.Option("--against-option", metavar="KEY=VALUE", help="An option of the second. Can be repeated."),
    ] = None,
    plugin: PluginFiles = None,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Find the answer in the prediction by this format."),
    ] = None,
    pass_at: Annotated[
        float, typer.Option("--pass-at", metavar="SCORE", help="What passes, where the reward does not say it itself.")
    ] = 0.5,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="For one verdict; otherwise the reward's own.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="NAME", help="The judge, for a reward that asks one.")
    ] = None,
    judge_option: Annotated[
        list[str] | None,
        typer.Option("--judge-option", metavar="KEY=VALUE", help="An option of the judge. Can be repeated."),
    ] = None,
) -> None:
    """Measure a reward on labelled rows: what it accepts, what it should, and how long it takes."""
    from lydite.audit import Verifier, ask, disagreement, read_labelled, summarize

    if timeout is not None and timeout <= 0:
        raise ConfigError(f"--timeout is a positive number of seconds, got {timeout:g}")
    if against_option and against is None:
        raise ConfigError("--against-option needs --against, the name of the second verifier")
    rows = read_labelled(labelled)
    plugins = load_plugins(files=given_files(plugin), strict=False)
    form = None if format is None else _format(format, plugins)
    options = options_from("--option", option)
    first = Verifier(name, options, pass_at, timeout, judge, options_from("--judge-option", judge_option))
    try:
        asked = ask(first, rows, plugins, format=form)
        found: dict[str, Any] = summarize(asked, options=options)
        if against is not None:
            second = Verifier(against, options_from("--against-option", against_option), pass_at, timeout)
            plain = [row.without_options() for row in rows]
            found["against"] = disagreement(asked, ask(second, plain, plugins, format=form))
    except UnknownNameError as error:
        raise UnknownNameError(str(error) + _not_loaded(plugins)) from None
    if out is not None:
        write_json("--json", out, found)
    print_audit(found)


def _format(name: str, plugins: Plugins) -> Format:
    from lydite.config import FormatConfig
    from lydite.prepare import make_format

    try:
        return make_format(FormatConfig(use=name), plugins)
    except UnknownNameError as error:
        raise UnknownNameError(f"--format {name}: {error}") from None


def _not_loaded(plugins: Plugins) -> str:
    names = sorted({one.owner.distribution for one in plugins.failures})
    return f" ({', '.join(names)} fails to load; see lydite plugins doctor)" if names else ""
