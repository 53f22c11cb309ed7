"""What a re-scoring changed, as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lydite.cli.tables import plain_table

SHOWN_GROUPS = 5  # on the screen; the file has more
SHOWN_REASONS = 4  # of each reward
_FAILURES = {"abstain": "abstained", "error": "errors", "timeout": "timeouts"}


def print_changes(found: dict[str, Any]) -> None:
    """The figures of `lydite.rescore.rescore`, or of `lydite.generate.score_generated`."""
    console = Console(highlight=False, soft_wrap=True)
    fresh = "generated" in found
    if fresh:
        _print_generated(console, found["generated"])
    console.print(
        f"{found['rows']} completions in {found['groups']} groups, {found['verdicts']} verdicts in "
        f"{found['seconds']:.2f} s ({found['verdicts_per_second'] or 0:.0f} a second)"
    )
    if found["regrouped"]:
        console.print(f"the rows of {found['regrouped']} groups stood apart and were brought together")
    console.print()
    console.print(_rewards_table(found["rewards"]))
    if found["gates"] is not None:
        share = _percent(found["gates"]["share_of_variance_in_groups"])
        console.print(
            f"gates set the total of {found['gates']['completions']} completions ({share} of variance in groups)"
        )
    _print_reasons(console, found["rewards"])
    _print_totals(console, found, fresh=fresh)
    if not fresh:  # nothing was there before
        _print_advantages(console, found["advantages"])


def _print_generated(console: Console, made: dict[str, Any]) -> None:
    seconds, cut = made["seconds"], made["truncated"]
    speed = f" ({made['tokens'] / seconds:.0f} a second)" if seconds else ""
    console.print(
        f"{made['tokens']} tokens sampled in {seconds:.2f} s{speed}; cut at the limit of "
        f"{made['max_completion_length']} tokens: {cut} completions"
    )
    heldout = made["heldout"]
    if heldout is not None:
        said = "not one answer could be judged" if heldout["value"] is None else f"{heldout['value']:.4f}"
        console.print(Text(f"held-out {heldout['metric']}: {said} (n = {heldout['n']})"))


def _rewards_table(rewards: dict[str, Any]) -> Table:
    before = any(one["mean_before"] is not None for one in rewards.values())
    names = [
        "reward",
        "weight",
        *(["before", "after"] if before else ["mean"]),
        "passed",
        "pays",
        "share",
        "variance",
        "in groups",
    ]
    table = _table(*names)
    for name, one in rewards.items():
        table.add_row(
            name,
            f"{one['weight']:g}",
            *([_number(one["mean_before"])] if before else []),
            _number(one["mean"]),
            _percent(one["passed"]),
            _number(one["contribution"]),
            _percent(one["share"]),
            _percent(one["share_of_variance"]),
            _percent(one["share_of_variance_in_groups"]),
        )
    return table


def _print_reasons(console: Console, rewards: dict[str, Any]) -> None:
    console.print()
    for name, one in rewards.items():
        shown = list(one["reasons"].items())[:SHOWN_REASONS]
        rest = len(one["reasons"]) - len(shown)
        said = ", ".join(f"{reason} {n}" for reason, n in shown) + (f", and {rest} more" if rest else "")
        failures = [f"{one['status'][key]} {word}" for key, word in _FAILURES.items() if one["status"][key]]
        console.print(Text(f"{name}: {said}" + (f" ({', '.join(failures)})" if failures else "")), soft_wrap=True)
        if one["first_error"]:
            console.print(Text(f"  the first error: {one['first_error']}", style="red"), soft_wrap=True)


def _print_totals(console: Console, found: dict[str, Any], *, fresh: bool) -> None:
    then, now = found["reward"]["before"], found["reward"]["after"]
    table = _table("total reward", "mean", "std", "without a score")
    for name, one in (("before", then), ("after", now)):
        if one is not None:
            spoken = "all" if fresh else name
            table.add_row(spoken, _number(one["mean"]), _number(one["std"]), str(found["unscored"][name]))
    console.print()
    console.print(table)
    if fresh:
        return
    if then is None:
        console.print("the file holds no rewards to compare with")
        return
    changed, correlation = found["reward"]["changed"], found["reward"]["correlation"]
    spoken = "" if correlation is None else f"; correlation of the totals {correlation:.3f}"
    console.print(f"{changed} of {found['rows']} totals changed{spoken}")
    order = found["order"]
    if order["pairs"]:
        console.print(
            f"of {order['pairs']} pairs inside groups, {order['swapped']} swapped their order, {order['told apart']} "
            f"are now told apart, {order['now equal']} are now equal"
        )


def _print_advantages(console: Console, found: dict[str, Any]) -> None:
    if not found["compared"]:
        console.print("the file holds no advantages to compare with")
        return
    table = _table("advantage", "now +", "now 0", "now -")
    for was in ("+", "0", "-"):
        table.add_row(f"was {was}", *(str(found["signs"].get(f"{was} to {now}", "")) for now in ("+", "0", "-")))
    console.print()
    console.print(table)
    console.print(
        f"the sign changed for {found['completions_changed']} completions in {found['groups_changed']} of "
        f"{found['groups_compared']} groups; it turned round for {found['completions_flipped']} in "
        f"{found['groups_flipped']} groups"
    )
    for group in found["groups"][:SHOWN_GROUPS]:
        pairs = ", ".join(f"{then:+.2f} to {now:+.2f}" for then, now in group["advantages"] if then is not None)
        step = "" if group["step"] is None else f"step {group['step']}, "
        console.print(Text(f"  {step}{group['sample']!r:.60}: {pairs}"), soft_wrap=True)
    if len(found["groups"]) > SHOWN_GROUPS:
        console.print("  and more; --json FILE lists those that moved most")


def _table(*columns: str) -> Table:
    table = plain_table()
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=place > 0)
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
