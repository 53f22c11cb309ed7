"""What a file for TRL says, and what has been made of it so far."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lydite.configfile.fields import Path, find_field
from lydite.configfile.problems import shown
from lydite.configfile.trl.fields import Command


@dataclass(slots=True)
class Translation:
    """The arguments of a file, the tables that come of them, and what there is to say about it."""

    given: Mapping[str, Any]
    command: Command = "grpo"
    tables: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)
    """TRL's own, where lydite's are others."""
    dropped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    updates_per_step: int = 1
    """Updates between two samplings, as the file's batches have it."""
    updates: int | None = None
    """Updates of the whole run; None where they could not be counted."""
    updates_per_epoch: int | None = None
    """Updates of once through the data; None where the rows are not counted."""

    def value(self, name: str, default: Any) -> Any:
        """What the file gives, with numbers that YAML reads as text (1e-6) made numbers; or TRL's default."""
        value = self.given.get(name, default)
        if isinstance(value, str) and isinstance(default, int | float) and not isinstance(default, bool):
            return as_number(value)
        return value

    def take(self, name: str, key: Path, value: Any, note: str = "") -> None:
        """Puts a value that the file gives under a key, and says so."""
        self.put(key, value)
        why = f" ({note})" if note else ""
        self.taken.append(f"{name}: {'.'.join(key)} = {shown(value)}{why}")

    def take_default(self, name: str, key: Path, value: Any) -> None:
        """Puts TRL's default under a key where lydite's is another, and says so."""
        known = find_field(key)
        if known is None or known.default == value:  # a data set's options have TRL's defaults
            return
        self.put(key, value)
        self.defaults.append(f"{name}: {'.'.join(key)} = {shown(value)} (lydite's is {shown(known.default)})")

    def put(self, key: Path, value: Any) -> None:
        """Puts a value under a key, without a word."""
        table = self.tables
        for part in key[:-1]:
            table = table.setdefault(part, {})
        table[key[-1]] = value

    def refuse(self, name: str, why: str) -> None:
        """Something that cannot be honoured."""
        self.problems.append(f"{name} = {shown(self.given.get(name))}: {why}")


def as_number(text: str) -> Any:
    """The number that a text spells, or the text: YAML takes 1e-6 for a text, and `trl grpo` for a number."""
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return float(text)
    return text
