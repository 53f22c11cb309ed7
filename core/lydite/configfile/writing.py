"""Writing: a configuration as TOML that reads back the same, and what two configurations differ in."""

from __future__ import annotations

from typing import Any

import tomli_w

from lydite.config import RunConfig


def write_config(config: RunConfig) -> str:
    """The configuration as TOML, every default spelt out. `read_config` gives an equal one back.

    Keys that are None are left out, which is how TOML says None.
    """
    return tomli_w.dumps(_without_none(config.model_dump()))


def config_difference(a: RunConfig, b: RunConfig) -> list[str]:
    """A line for each key that differs, `train.learning_rate: 0.0003 -> 0.001`, in order of the keys; empty if none."""
    left, right = _flat(a.model_dump()), _flat(b.model_dump())
    absent = "(not set)"
    return [
        f"{key}: {left.get(key, absent)} -> {right.get(key, absent)}"
        for key in sorted(left.keys() | right.keys())
        if left.get(key, absent) != right.get(key, absent)
    ]


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else value
        for key, value in table.items()
        if value is not None
    }


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys to values as TOML writes them; an empty table counts as a value."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: Any) -> str:
    """On one line, however long."""
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(one) for one in value)}]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()
