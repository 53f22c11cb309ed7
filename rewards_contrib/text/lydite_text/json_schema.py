"""The answer is JSON that fits a schema and, where that is asked for, equals the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator

from lydite import Evidence, Verdict, reward
from lydite_text.fenced import unfenced
from lydite_text.schemas import ReferenceOutside, SlowPattern, check_schema, validator_for

LONGEST: Final = 200_000
"""Characters of an answer that is read."""
DEEPEST: Final = 100
"""Levels of lists and objects in each other; Python's reader gives up at about a thousand."""


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    check_schema(given)
    return given


def _file(path: str) -> str:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    check_schema(content)
    return path


Schema: TypeAlias = Annotated[dict[str, Any], AfterValidator(_schema)]
SchemaFile: TypeAlias = Annotated[str, AfterValidator(_file)]


@reward(range=(0.0, 1.0), timeout=10.0)
def json_schema(
    answer: str,
    reference: Any,
    json_schema: Any = None,
    *,
    schema: Schema | None = None,
    schema_file: SchemaFile | None = None,
    match: Literal["schema", "reference", "both"] = "schema",
) -> Verdict:
    """1 when the answer is one JSON value that fits the schema (`match`: and equals the reference), else 0.

    The schema is the option `schema` or `schema_file`, or else the column `json_schema` of the sample. Where the answer
    has a fenced block, the last one is read. References to schemas elsewhere are refused: nothing is fetched.
    """
    rules = schema if schema is not None else _loaded(schema_file) if schema_file else json_schema
    if match != "reference" and not isinstance(rules, dict):
        return Verdict.error("schema.missing", scope="prompt")
    try:
        value = strict_json(unfenced(answer))
    except ValueError as error:
        reason = "answer.empty" if not answer.strip() else "json.invalid"
        return Verdict(0.0, passed=False, reason=reason, evidence=(Evidence(str(error)[:200]),))
    shown = json.dumps(value, ensure_ascii=True)[:1000]
    if match != "reference":
        try:
            problem = _first_problem(rules, value)
        except SlowPattern:
            return Verdict(0.0, passed=False, reason="pattern.slow", parsed=shown)
        except ReferenceOutside:
            return Verdict.error("schema.reference", scope="prompt")
        except ValueError:
            return Verdict.error("schema.invalid", scope="prompt")
        if problem is not None:
            return Verdict(0.0, passed=False, reason="schema.broken", parsed=shown, evidence=(Evidence(problem),))
    if match != "schema":
        gold = _gold(reference)
        if gold is None:
            return Verdict.error("reference.not_json", scope="prompt")
        if not same_json(value, gold[0]):
            return Verdict(0.0, passed=False, reason="json.different", parsed=shown)
    return Verdict(1.0, passed=True, reason="json.fits", parsed=shown)


def strict_json(text: str) -> Any:
    """The one JSON value that the text is: no NaN, no key twice, not too deep, nothing behind it.

    Raises:
        ValueError: otherwise.
    """
    if len(text) > LONGEST:
        raise ValueError(f"the answer has {len(text)} characters, and {LONGEST} are read")
    if depth_of(text) > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels deep")

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            raise ValueError("an object has the same key twice")
        return made

    return json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)


def depth_of(text: str) -> int:
    """How deep brackets stand in each other, strings aside; an upper bound for text that is not JSON."""
    depth = deepest = 0
    in_string = escaped = False
    for one in text:
        if in_string:
            if escaped:
                escaped = False
            elif one == "\\":
                escaped = True
            elif one == '"':
                in_string = False
        elif one == '"':
            in_string = True
        elif one in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif one in "]}":
            depth -= 1
    return deepest


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON's terms: true is not 1, and 1.0 is 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same_json(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _loaded(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _first_problem(rules: dict[str, Any], value: Any) -> str | None:
    check_schema(rules)
    problem = next(iter(validator_for(rules).iter_errors(value)), None)
    if problem is None:
        return None
    return f"at {problem.json_path}: {problem.message}"[:300]


def _gold(reference: Any) -> tuple[Any] | None:
    """The reference as a JSON value, in a tuple since it may be null; text is read as JSON."""
    if not isinstance(reference, str):
        return None if reference is None else (reference,)
    try:
        return (strict_json(unfenced(reference)),)
    except ValueError:
        return None
