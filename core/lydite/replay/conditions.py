"""What is not as it was when a run was made: what decides the last bits of a number, and what only moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lydite.config import RunConfig
from lydite.configfile import config_difference

_DECISIVE: Final = ("torch", "transformers", "peft", "bitsandbytes", "triton", "numpy")  # for the last bits of a number
_PLACES: Final = ("model.path: ", "model.gguf_file: ", "output_dir: ", "name: ", "plugin_files: ")
"""Keys that say where something is: nothing is computed from them."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What differs between a run and its replay, a line each."""

    changes: tuple[str, ...]
    """What other numbers may come of."""
    moved: tuple[str, ...]
    """What is elsewhere, or not needed here, and changes no number."""


def conditions(
    then: Mapping[str, Any], now: Mapping[str, Any], stored: RunConfig, config: RunConfig, also: Sequence[str]
) -> Conditions:
    """Two manifests and two configurations beside each other; `also` names what else is another one."""
    settings = config_difference(stored, config)
    moved = [line for line in settings if line.startswith(_PLACES)]
    changes = [*_facts(then, now), *(line for line in settings if line not in moved), *also]
    weights = [one.get("model_digest") for one in (then, now)]
    if None in weights and any(line.startswith("model.") for line in moved):
        changes.append("model: the run did not note which weights it had, so that those here may be others")
    elif None not in weights and weights[0] != weights[1]:
        changes.append(f"model: the weights in {config.model.path} are not those of the run")
    return Conditions(tuple(changes), tuple(moved))


def without_missing_files(config: RunConfig) -> tuple[RunConfig, tuple[str, ...]]:
    """The configuration without plugin files that are not here, each with a line: a replay asks no reward."""
    there = tuple(one for one in config.plugin_files if Path(one).exists())
    missing = [one for one in config.plugin_files if one not in there]
    said = tuple(f"plugin file {one}: not here, and left out" for one in missing)
    return (config.model_copy(update={"plugin_files": there}) if missing else config), said


def _facts(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in ("device", "cpu", "processes", "lydite"):
        if then.get(name) != now.get(name) and not (name == "cpu" and name not in then):  # older runs did not note it
            yield f"{name}: {then.get(name, '(none)')} -> {now.get(name, '(none)')}"
    before, after = then.get("packages", {}), now.get("packages", {})
    for name in _DECISIVE:
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, '(none)')} -> {after.get(name, '(none)')}"
