"""Reading a rubric's file. Every fault is told with the file, the criterion, what was given and what is expected."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lydite import did_you_mean
from lydite_rubric.checks_table import check_of
from lydite_rubric.locations import content_of
from lydite_rubric.rubric import Criterion, JudgeCheck, Rubric

MOST_CRITERIA: Final = 256
"""As many parts as a verdict keeps."""
LARGEST_POINTS: Final = 1e6
LONGEST_TEXT: Final = 4_000
"""Characters of a criterion's text or question."""

_TOP: Final = ("name", "version", "description", "criteria")
_CRITERION: Final = ("id", "text", "points", "tags", "check", "judge", "quote", "gate")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,79}\Z")


def read_rubric(given: str) -> Rubric:
    """The rubric in a TOML or JSON file, with everything in it checked except the names of rewards.

    Raises:
        ValueError: on the first fault.
    """
    content = content_of(given)
    try:
        return rubric_from(_parsed(content, given), digest=hashlib.sha256(content).hexdigest()[:12])
    except ValueError as error:
        raise ValueError(f"rubric {given}: {error}") from None


def rubric_from(table: Any, *, digest: str = "") -> Rubric:
    """The rubric that a table, as a file holds it, describes.

    Raises:
        ValueError: on the first fault.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"a rubric is a table with {_listed(_TOP)}, got {_kind(table)}")
    _known(table, _TOP, "a rubric")
    name = _text(table, "name", "a rubric")
    version = _text(table, "version", "a rubric") if "version" in table else "1"
    given = table.get("criteria")
    if not isinstance(given, list) or not given:
        found = "none" if given is None or given == [] else _kind(given)
        raise ValueError(f"a rubric needs at least one criterion, each under [[criteria]]; got {found}")
    if len(given) > MOST_CRITERIA:
        raise ValueError(f"a rubric has at most {MOST_CRITERIA} criteria, got {len(given)}")
    criteria: dict[str, Criterion] = {}
    for number, one in enumerate(given, start=1):
        where = _where(one, number)
        try:
            criterion = _criterion(one)
            if criterion.id in criteria:
                first = list(criteria).index(criterion.id) + 1
                raise ValueError(f"its id is already that of criterion {first}; ids are unique")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        criteria[criterion.id] = criterion
    return Rubric(name, version, tuple(criteria.values()), digest)


def _criterion(table: Any) -> Criterion:
    if not isinstance(table, Mapping):
        raise ValueError(f"a criterion is a table, got {_kind(table)}")
    _known(table, _CRITERION, "a criterion")
    name = _text(table, "id", "a criterion")
    if not _ID.match(name):
        raise ValueError(f"an id has 1 to 80 letters, digits and . _ : -, got {name!r}")
    text = _text(table, "text", "a criterion")
    judge, check = table.get("judge", False), table.get("check")
    if judge is not False and check is not None:
        raise ValueError("it has both `check` and `judge`; one of them decides it")
    if judge is False and check is None:
        raise ValueError("it has neither `check` nor `judge`; one of them decides it")
    gate = _flag(table, "gate", False)
    if judge is False:
        if "quote" in table:
            raise ValueError("`quote` is for criteria with a judge")
        return Criterion(name, text, _points(table), check_of(check), _tags(table), gate)
    if gate:
        raise ValueError("a criterion with a judge cannot be a gate; gates keep answers from the judge")
    return Criterion(name, text, _points(table), _judge(judge, text, _flag(table, "quote", True)), _tags(table))


def _judge(given: Any, text: str, quote: bool) -> JudgeCheck:
    if given is True:
        return JudgeCheck(text, quote)
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"`judge` is true, or the question to ask in place of the text; got {given!r}")
    if len(given) > LONGEST_TEXT:
        raise ValueError(f"`judge` has at most {LONGEST_TEXT} characters, got {len(given)}")
    return JudgeCheck(given.strip(), quote)


def _points(table: Mapping[str, Any]) -> float:
    if "points" not in table:
        raise ValueError("it has no `points`; give a number above 0, or below 0 for what an answer must not do")
    points = table["points"]
    if isinstance(points, bool) or not isinstance(points, int | float):
        raise ValueError(f"`points` is a number, got {points!r}")
    if points == 0:
        raise ValueError("`points` is 0, which neither earns nor costs anything; leave the criterion out")
    if not math.isfinite(points) or abs(points) > LARGEST_POINTS:
        raise ValueError(f"`points` lies between -{LARGEST_POINTS:g} and {LARGEST_POINTS:g}, got {points!r}")
    return float(points)


def _tags(table: Mapping[str, Any]) -> tuple[str, ...]:
    tags = table.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(one, str) and one.strip() for one in tags):
        raise ValueError(f"`tags` is a list of words, got {tags!r}")
    return tuple(dict.fromkeys(tags))


def _flag(table: Mapping[str, Any], key: str, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"`{key}` is true or false, got {value!r}")
    return value


def _text(table: Mapping[str, Any], key: str, what: str) -> str:
    if key not in table:
        raise ValueError(f"{what} needs `{key}`, and it is not given")
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{key}` is a text that is not empty, got {value!r}")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"`{key}` has at most {LONGEST_TEXT} characters, got {len(value)}")
    return value.strip()


def _known(table: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{what} has no key {key!r}{did_you_mean(str(key), known)}")


def _where(table: Any, number: int) -> str:
    """A criterion as messages name it: by its id where it has one, else by its place."""
    name = table.get("id") if isinstance(table, Mapping) else None
    return f"criterion {name!r} (number {number})" if isinstance(name, str) and name.strip() else f"criterion {number}"


def _parsed(content: bytes, given: str) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: {error}") from None
    if given.endswith(".json"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not TOML: {error}") from None


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
