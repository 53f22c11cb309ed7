"""How good a reward is on labelled rows, as tables."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lydite.cli.tables import plain_table

SHOWN_ROWS = 5  # false verdicts of each kind on the screen; the file has them all
SHOWN_TEXT = 60  # characters of a gold or a prediction on the screen


def print_audit(found: dict[str, Any]) -> None:
    """The figures of `lydite.audit.summarize`, with those of a second verifier where there is one."""
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
    table = plain_table()
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= SHOWN_TEXT else text[: SHOWN_TEXT - 1] + "…")
