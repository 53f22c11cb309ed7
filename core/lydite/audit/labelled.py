"""Labelled rows: a gold answer, what was answered, and whether a verifier should accept it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from lydite.errors import DataError
from lydite.jsonl import read_objects
from lydite.suggest import close_to
from lydite.types import Message, Sample

EXAMPLE: Final = '{"gold": "1/2", "pred": "0.5", "expected": true}'
UNSORTED: Final = "(none)"
"""The category of a row that names none."""
_KEYS: Final = ("gold", "pred", "expected", "category", "tags", "prompt", "columns", "options", "form", "id")
_LABELS: Final[Mapping[Any, bool]] = {"pass": True, "fail": False, "true": True, "false": False, 1: True, 0: False}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row: a prediction, and whether it should pass."""

    line: int
    """From 1, in its file."""
    pred: str
    expected: bool
    sample: Sample
    """Prompt, columns, and the gold answer as its reference."""
    categories: tuple[str, ...] = (UNSORTED,)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the reward for this row alone."""
    form: Literal["answer", "text"] = "text"
    """`answer`: the bare answer. `text`: a whole completion, in which a format would look for the answer."""
    has_gold: bool = True
    where: str = ""
    """File and line, for messages."""

    def without_options(self) -> Labelled:
        """The row for another verifier, which has options of its own."""
        return replace(self, options={})


def read_labelled(path: Path) -> list[Labelled]:
    """Every row of a file of JSON lines, in order.

    Raises:
        DataError: on a file without rows, and on the first line that is no labelled row, with what was expected.
    """
    rows = [_row(content, f"{path}:{line}", line) for line, content in read_objects(path, example=EXAMPLE)]
    if not rows:
        raise DataError(f"{path} is empty: it has no labelled rows; expected lines such as {EXAMPLE}")
    return rows


def _row(content: Mapping[str, Any], where: str, line: int) -> Labelled:
    for key in ("pred", "expected"):
        if key not in content:
            near = close_to(key, content)
            meant = f" (is {near!r} meant to be it?)" if near is not None and near not in _KEYS else ""
            raise DataError(f"{where}: {key!r} is missing{meant}; expected a row such as {EXAMPLE}")
    if not isinstance(content["pred"], str):
        raise DataError(f"{where}: 'pred' is what was answered, as text; got {_shown(content['pred'])}")
    form = content.get("form", "text")
    if form not in ("answer", "text"):
        raise DataError(f'{where}: \'form\' is "answer" or "text", got {_shown(form)}')
    prompt = _prompt(content.get("prompt") or "", where)
    columns, options = _table(content, "columns", where), _table(content, "options", where)
    sample = Sample(f"line {line}", prompt, content.get("gold"), columns)
    categories = _categories(content, where)
    label = _label(content["expected"], where)
    return Labelled(line, content["pred"], label, sample, categories, options, form, "gold" in content, where)


def _label(given: Any, where: str) -> bool:
    if isinstance(given, bool):
        return given
    key = given.strip().lower() if isinstance(given, str) else given
    if not isinstance(key, (str, int, float)) or key not in _LABELS:
        raise DataError(f'{where}: \'expected\' is true or false (or 1, 0, "pass", "fail"), got {_shown(given)}')
    return _LABELS[key]


def _categories(content: Mapping[str, Any], where: str) -> tuple[str, ...]:
    given = content.get("category", content.get("tags"))
    names = [given] if isinstance(given, str) else given or []
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise DataError(f"{where}: 'category' is a text, or 'tags' a list of texts; got {_shown(given)}")
    return tuple(dict.fromkeys(names)) or (UNSORTED,)


def _table(content: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    given = content.get(key) or {}
    if not isinstance(given, dict):
        raise DataError(f"{where}: {key!r} is an object of names and values, got {_shown(given)}")
    return given


def _prompt(given: Any, where: str) -> str | tuple[Message, ...]:
    if isinstance(given, str):
        return given
    if isinstance(given, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("role", "content")) for one in given
    ):
        return tuple(Message(role=one["role"], content=one["content"]) for one in given)
    raise DataError(f"{where}: 'prompt' is text or a list of {{role, content}}, got {_shown(given)}")


def _shown(given: Any) -> str:
    return f"{given!r:.80}"
