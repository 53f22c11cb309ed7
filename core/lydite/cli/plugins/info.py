"""One plugin, or one thing that it offers: what it takes, its options with types and defaults, its range."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from lydite.calibration import calibration_line
from lydite.cli.plugins.listing import describe_owner
from lydite.contracts import GIVEN, spec_of
from lydite.errors import UnknownNameError
from lydite.options import hints_of, option_parameters, positional_names, type_name
from lydite.plugins import KINDS, SINGULAR, Kind, Offer, Plugins
from lydite.suggest import did_you_mean

_TABLES = {
    "rewards": "[rewards.NAME]",
    "group_rewards": "[rewards.NAME]",
    "formats": "[format]",
    "datasets": "[data]",
    "environments": "[environment]",
    "observers": "[observers.NAME]",  # and the name stands there
}
"""Where a configuration asks for each kind; a judge is named by the reward that asks it."""


def descriptions(plugins: Plugins, name: str) -> list[dict[str, Any]]:
    """Everything of that name, as JSON-able data: plugins first, then what is offered under it.

    Raises:
        UnknownNameError: with the nearest name.
    """
    owners = dict.fromkeys([*plugins.owners, *(failure.owner for failure in plugins.failures)])
    found: list[dict[str, Any]] = [
        {"kind": "plugin", "summary": _summary(owner.distribution), **describe_owner(plugins, owner)}
        for owner in owners
        if _plain(name) in (_plain(owner.plugin), _plain(owner.distribution))
    ]
    found += [_described(plugins.offers[kind][name]) for kind in KINDS if name in plugins.offers[kind]]
    if not found:
        known = [offer for kind in KINDS for offer in plugins.offers[kind]]
        known += [one for owner in owners for one in (owner.plugin, owner.distribution)]
        raise UnknownNameError(f"no plugin is called {name!r}, and none offers it{did_you_mean(name, known)}")
    return found


def print_descriptions(found: list[dict[str, Any]]) -> None:
    """Each as a page of text, with an empty line between."""
    console = Console(highlight=False)
    for index, one in enumerate(found):
        if index:
            console.print()
        title, lines = _plugin_page(one) if one["kind"] == "plugin" else _offer_page(one)
        console.print(Text(title, style="bold"))
        console.print(Text("\n".join(lines)), soft_wrap=True)


def _described(offer: Offer) -> dict[str, Any]:
    thing = offer.thing
    return {
        "kind": SINGULAR[offer.kind],
        "name": offer.name,
        "distribution": offer.owner.distribution,
        "version": offer.owner.version,
        "description": inspect.getdoc(thing) or "",
        "takes": [{"name": one, "is": _meaning(offer.kind, one)} for one in positional_names(thing)],
        "options": _options(thing),
        "promises": _promises(offer),
        "calibration": calibration_line(offer) if offer.kind in ("rewards", "group_rewards") else None,
        "example": _example(offer),
    }


def _options(thing: Callable[..., Any]) -> list[dict[str, Any]]:
    hints = hints_of(thing)
    return [
        {
            "name": name,
            "type": type_name(hints[name]) if name in hints else "any",
            "required": parameter.default is inspect.Parameter.empty,
            "default": None if parameter.default is inspect.Parameter.empty else repr(parameter.default),
        }
        for name, parameter in option_parameters(thing).items()
    ]


def _promises(offer: Offer) -> dict[str, Any]:
    if offer.kind not in ("rewards", "group_rewards"):
        return {}
    spec = spec_of(offer.thing)
    return {
        "range": list(spec.range) if spec.range is not None else None,
        "isolation": spec.isolation,
        "timeout": spec.timeout,
        "deterministic": spec.deterministic,
        "version": spec.version or offer.owner.version,
    }


def _example(offer: Offer) -> str:
    if offer.kind == "algorithms":
        return f'algorithm = "{offer.name}"'
    if offer.kind not in _TABLES:
        return f'judge = "{offer.name}"'
    if offer.kind == "observers":
        return f"[observers.{offer.name}]"
    return f'{_TABLES[offer.kind]}\nuse = "{offer.name}"'


def _meaning(kind: Kind, name: str) -> str:
    if kind not in ("rewards", "group_rewards"):
        return ""
    return GIVEN.get(name, f"the data set's column {name!r}")


def _plugin_page(one: dict[str, Any]) -> tuple[str, list[str]]:
    lines = [one["summary"]] if one["summary"] else []
    lines.append(f"loaded from: {one['location']}")
    lines += [f"{SINGULAR[kind]}s: {', '.join(names)}" for kind, names in one["offers"].items() if names]
    lines += [f"hooks: {', '.join(one['hooks'])}"] if one["hooks"] else []
    lines += [f"fails to load: {cause}" for cause in one["failures"]]
    lines += [f"sha256: {one['sha256']}"] if one["sha256"] else []
    return f"{one['plugin']} ({one['distribution']} {one['version']})".replace(" )", ")"), lines


def _offer_page(one: dict[str, Any]) -> tuple[str, list[str]]:
    lines = one["description"].splitlines() or ["(its author has not described it)"]
    if one["takes"]:
        lines += ["", "takes", *(f"  {arg['name']}: {arg['is']}".rstrip(": ") for arg in one["takes"])]
    lines += ["", "options"] if one["options"] else ["", "no options"]
    for option in one["options"]:
        ending = "needed" if option["required"] else f"default {option['default']}"
        lines.append(f"  {option['name']}: {option['type']}, {ending}")
    promises = one["promises"]
    if promises:
        span = promises["range"]
        lines += ["", f"range: {f'{span[0]:g} to {span[1]:g}' if span else 'not promised'}"]
        where = "in a worker process" if promises["isolation"] == "worker" else "in the trainer"
        lines.append(f"runs {where}, at most {promises['timeout']:g} s for a completion")
    lines += ["", f"calibration: {one['calibration']}"] if one["calibration"] else []
    lines += ["", *one["example"].splitlines()]
    return f"{one['kind']} {one['name']} ({one['distribution']} {one['version']})".replace(" )", ")"), lines


def _summary(distribution: str) -> str:
    try:
        metadata = importlib.metadata.metadata(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return str(metadata.json.get("summary", ""))


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
