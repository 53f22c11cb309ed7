"""What is installed and what each plugin offers, as data and as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from lydite import hookspecs
from lydite.cli.tables import plain_table
from lydite.plugins import KINDS, SINGULAR, Owner, Plugins


def listing(plugins: Plugins) -> dict[str, Any]:
    """Every plugin that was found, as JSON-able data: where it comes from, what it offers, whether it fails."""
    owners = dict.fromkeys([*plugins.owners, *(failure.owner for failure in plugins.failures)])
    return {"plugins": [describe_owner(plugins, owner) for owner in owners]}


def describe_owner(plugins: Plugins, owner: Owner) -> dict[str, Any]:
    """One plugin: its distribution, what it offers by kind, the other hooks it has, and its failures."""
    return {
        "plugin": owner.plugin,
        "distribution": owner.distribution,
        "version": owner.version,
        "source": owner.source,
        "location": owner.location,
        "sha256": owner.sha256,
        "offers": {
            kind: sorted(offer.name for offer in plugins.offers[kind].values() if offer.owner == owner)
            for kind in KINDS
        },
        "hooks": _other_hooks(plugins, owner),
        "failures": [failure.cause for failure in plugins.failures if failure.owner == owner],
    }


def print_listing(found: dict[str, Any]) -> None:
    """A table with a row for each plugin."""
    table = plain_table()
    table.add_column("plugin", no_wrap=True)
    table.add_column("distribution", no_wrap=True)
    table.add_column("offers", overflow="fold")
    for one in found["plugins"]:
        table.add_row(one["plugin"], _origin(one), _offers(one))
    console = Console(highlight=False)
    console.print(table)
    if any(one["failures"] for one in found["plugins"]):
        console.print("\nSome plugins fail to load; lydite plugins doctor says why.", style="red")


def _origin(one: dict[str, Any]) -> str:
    return f"{one['distribution']} {one['version']}" if one["source"] == "entry_point" else str(one["distribution"])


def _offers(one: dict[str, Any]) -> Text:
    if one["failures"]:
        return Text("fails to load", style="red")
    lines = [f"{SINGULAR[kind]}s: {', '.join(names)}" for kind, names in one["offers"].items() if names]
    if one["hooks"]:
        lines.append(f"hooks: {', '.join(one['hooks'])}")
    return Text("\n".join(lines) or "nothing")


def _other_hooks(plugins: Plugins, owner: Owner) -> list[str]:
    """The hooks that the plugin has beside its offers: model families and observers."""
    offered = {f"lydite_{kind}" for kind in KINDS}
    names = [name for name in vars(hookspecs) if name.startswith("lydite_") and name not in offered]
    return [
        name
        for name in names
        if any(one.plugin_name == owner.key for one in getattr(plugins.hooks, name).get_hookimpls())
    ]
