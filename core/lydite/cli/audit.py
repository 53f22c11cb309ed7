"""`lydite audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lydite.cli.options import options_from
from lydite.cli.writing import write_json
from lydite.contracts import Format
from lydite.errors import ConfigError, UnknownNameError
from lydite.plugins import Plugins, load_plugins

SHOWN_ROWS = 5  # false verdicts of each kind on the screen; the file has them all
SHOWN_TEXT = 60  # characters of a gold or a prediction on the screen


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
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the reward. Can be repeated."),
    ] = None,
    against_option: Annotated[
        list[str] | None,
        typer.Option("--against-option", metavar="KEY=VALUE", help="An option of the second. Can be repeated."),
    ] = None,
    plugin: Annotated[
        list[Path] | None,
        typer.Option("--plugin", metavar="FILE.py", help="Use a local Python file as a plugin. Can be repeated."),
    ] = None,
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
    plugins = load_plugins(files=plugin or (), strict=False)
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


def print_audit(found: dict[str, Any]) -> None:
    """The figures as tables."""
    console = Console(highlight=False)
    console.print(Text(f"{found['name']} ({found['distribution']} {found['version']})", style="bold"), soft_wrap=True)
    console.print(f"{found['n']} rows: {found['positives']} that should pass, {found['negatives']} that should not")
    console.print(_rates_table(found))
    if found["abstained"]:
        console.print(f"abstained on {found['abstained']} rows ({found['abstain']:.1%}), which no rate above counts")
    if found["errors"] or found["timeouts"]:
        console.print(f"{found['errors']} errors and {found['timeouts']} timeouts, counted as refused", style="red")
    if found["p50_ms"] is not None:
        console.print(
            f"time of a verdict: p50 {found['p50_ms']:g} ms, p99 {found['p99_ms']:g} ms, longest {found['max_ms']:g} ms"
        )
    if len(found["by_category"]) > 1:
        console.print()
        console.print(_category_table(found["by_category"]))
    console.print()
    console.print(_reasons_table(found["reasons"]))
    for key, title in (
        ("false_positives", "accepted, and should not be"),
        ("false_negatives", "refused, and should not be"),
    ):
        _print_rows(console, title, found[key])
    if "against" in found:
        _print_disagreement(console, found["name"], found["against"])


def _rates_table(found: dict[str, Any]) -> Table:
    table = _table("", "value", "95 %")
    for key, title in (
        ("tpr", "TPR, right answers accepted"),
        ("fpr", "FPR, wrong answers accepted"),
        ("j", "J = TPR - FPR"),
    ):
        span = found[f"{key}_interval"]
        table.add_row(title, _share(found[key]), "" if span is None else f"{span[0]:.3f} to {span[1]:.3f}")
    return table


def _category_table(categories: list[dict[str, Any]]) -> Table:
    table = _table("category", "rows", "TPR", "FPR", "refused wrongly", "accepted wrongly", "abstained")
    for one in categories:
        counts = (one["false_negatives"], one["false_positives"], one["abstained"])
        table.add_row(
            one["category"],
            str(one["n"]),
            _share(one["tpr"]),
            _share(one["fpr"]),
            *(str(n) if n else "" for n in counts),
        )
    return table


def _reasons_table(reasons: dict[str, int]) -> Table:
    table = _table("reason", "rows")
    for reason, n in reasons.items():
        table.add_row(reason, str(n))
    return table


def _print_rows(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    console.print(Text(f"\n{len(rows)} {title}", style="bold"))
    for one in rows[:SHOWN_ROWS]:
        reason = f" ({one['reason']})" if one["reason"] else ""
        console.print(
            Text(f"  line {one['line']}: gold {_cut(one['gold'])}, given {_cut(one['pred'])}{reason}"), soft_wrap=True
        )
    if len(rows) > SHOWN_ROWS:
        console.print(f"  and {len(rows) - SHOWN_ROWS} more; --json OUT lists them all")


def _print_disagreement(console: Console, name: str, other: dict[str, Any]) -> None:
    title = f"\n{name} against {other['name']} ({other['distribution']} {other['version']})"
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(f"the second: TPR {_share(other['tpr'])}, FPR {_share(other['fpr'])}, J {_share(other['j'])}")
    table = _table("expected", name, other["name"], "rows")
    for one in other["table"]:
        table.add_row(one["expected"], one["first"], one["second"], str(one["n"]))
    console.print(table)
    console.print(f"they differ on {other['differ']} rows")
    for one in other["rows"][:SHOWN_ROWS]:
        console.print(
            Text(
                f"  line {one['line']}: gold {_cut(one['gold'])}, given {_cut(one['pred'])}, should "
                f"{'pass' if one['expected'] else 'fail'}: {one['first']['said']} against {one['second']['said']}"
            ),
            soft_wrap=True,
        )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= SHOWN_TEXT else text[: SHOWN_TEXT - 1] + "…")


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
