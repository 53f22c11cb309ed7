"""pydantic's findings in our words: which key, what was given, what was expected, what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lydite.config import RunConfig
from lydite.configfile.fields import ANY, ConfigField, Path, all_fields, find_field, keys_in
from lydite.errors import ConfigError
from lydite.suggest import close_to, did_you_mean

SHOWN: Final = 60  # characters of a wrong value; more of it drowns the sentence


def config_error(error: ValidationError, source: str, origins: Mapping[Path, str]) -> ConfigError:
    """One error that lists every problem, each as `where: key: what was given, what was expected, what to do`.

    `source` names the file; `origins` has the command-line flag behind each key that one set.
    """
    problems = list(dict.fromkeys(line for one in error.errors() for line in _lines(one, source, origins)))
    if len(problems) == 1:
        return ConfigError(problems[0])
    return ConfigError("\n  ".join([f"{len(problems)} problems in the configuration:", *problems]))


def _lines(detail: ErrorDetails, source: str, origins: Mapping[Path, str]) -> list[str]:
    location = tuple(str(part) for part in detail["loc"])
    where = next((text for path, text in origins.items() if location[: len(path)] == path), source)
    key = ".".join(location)
    if detail["type"] == "value_error":
        said = str(detail["ctx"]["error"]).splitlines()
        return [f"{where}: {key}: {line}" if _says_too_little(location, line) else f"{where}: {line}" for line in said]
    if detail["type"] == "extra_forbidden":
        return [f"{where}: {key}: {_unknown(location)}"]
    if detail["type"] == "missing":
        return [f"{where}: {_missing(location)}"]
    if location == ("rewards",) and detail["type"] == "too_short":
        return [f"{where}: rewards: got none, expected at least one; add a table [rewards.NAME] with use = ..."]
    return [f"{where}: {key}: {_mismatch(location, detail['input'])}"]


def _says_too_little(location: Path, line: str) -> bool:
    """True when the sentence of a check of our own does not name a key by itself."""
    return bool(location) and not line.startswith(location[0])


def _unknown(location: Path) -> str:
    table, name = location[:-1], location[-1]
    known = keys_in(table)
    here = f"[{'.'.join(table)}]" if table else "a configuration"
    if close_to(name, known) is not None:
        return f"there is no such key in {here}{did_you_mean(name, known)}"
    advice = []
    homes = _homes(name)
    if homes:
        advice.append(f"{name} belongs in {' or '.join(homes)}")
    if "options" in known:
        advice.append(f"an option of what `use` names goes into [{'.'.join((*table, 'options'))}]")
    return f"there is no such key in {here}" + (f"; {', and '.join(advice)}" if advice else did_you_mean(name, known))


def _homes(name: str) -> list[str]:
    """The tables that have a key of this name, as they are written in a file."""
    found = [path[:-1] for path in all_fields() if path[-1] == name]
    return [f"[{'.'.join('NAME' if part == ANY else part for part in path)}]" if path else "the top" for path in found]


def _missing(location: Path) -> str:
    key, name = ".".join(location), location[-1]
    field = find_field(location)
    if field is None:  # an entry of a list that is too short
        return f"{'.'.join(location[:-1])}: expected {_expected_at(location[:-1])}"
    if field.table is not None:
        return f"{key}: not given, expected {field.expected}; {_lowered(field.description)}"
    table = f"[{'.'.join(location[:-1])}]" if len(location) > 1 else "the top of the file"
    return f"{key}: not given, expected {field.expected}; add {name} = ... to {table}{_meaning(field)}"


def _mismatch(location: Path, given: Any) -> str:
    field = _nearest(location)
    if field is None:
        return f"got {shown(given)}"
    advice = _advice(field, given)
    return f"got {shown(given)}, expected {_expected_at(location)}{advice}{'' if advice else _meaning(field)}"


def _advice(field: ConfigField, given: Any) -> str:
    if field.choices and not (isinstance(given, str) and _is_written_plainly(field, given)):
        return did_you_mean(given, field.choices) if isinstance(given, str) and close_to(given, field.choices) else ""
    if isinstance(given, str) and _is_written_plainly(field, given):
        return f"; write {given} without quotes" if given[0] != "." else f"; write 0{given}"
    if isinstance(given, str) and field.expected.startswith("a list"):
        return f"; write [{json.dumps(given, ensure_ascii=False)}]"
    if isinstance(given, float) and given.is_integer() and field.expected.startswith("a whole number"):
        return f"; write {int(given)}"
    return ""


def _is_written_plainly(field: ConfigField, given: str) -> bool:
    if field.expected.endswith("true or false"):
        return given in ("true", "false")
    if "number" not in field.expected:
        return False
    try:
        float(given)
    except ValueError:
        return False
    return True


def _expected_at(location: Path) -> str:
    field = _nearest(location)
    return "something else" if field is None else field.expected.replace(ANY, "NAME")


def _nearest(location: Path) -> ConfigField | None:
    """The key itself, or the one whose value it lies in: an entry of a list has no name of its own."""
    while location and find_field(location) is None:
        location = location[:-1]
    return find_field(location) if location else None


def _meaning(field: ConfigField) -> str:
    first = field.description.split("\n\n")[0].replace("\n", " ")
    return f" (it means: {_lowered(first).rstrip('.')})" if first else ""


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence


def shown(value: Any) -> str:
    """A value as a person would write it in TOML, cut where it is long."""
    if isinstance(value, str | bool):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        text = f"a table with {', '.join(map(str, value)) or 'nothing in it'}"
    elif isinstance(value, RunConfig):
        text = "a configuration"
    else:
        text = "nothing" if value is None else repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
