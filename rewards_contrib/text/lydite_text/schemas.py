"""JSON Schema validators that fetch nothing and run no pattern without a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import referencing
import regex
from jsonschema.exceptions import SchemaError, ValidationError

from lydite.suggest import did_you_mean

SECONDS: Final = 1.0
"""That one search of a schema's pattern may take."""
_DRAFTS: Final = jsonschema.Draft202012Validator


class SlowPattern(Exception):  # noqa: N818 - an outcome that the caller sorts
    """A pattern of the schema did not come to an end on this text."""


class ReferenceOutside(Exception):  # noqa: N818 - an outcome that the caller sorts
    """The schema refers to one that would have to be fetched."""


def check_schema(schema: Any) -> None:
    """Nothing, where this is a schema.

    Raises:
        ValueError: saying where it is none.
    """
    if not isinstance(schema, dict):
        raise ValueError(f"a schema is an object, got {type(schema).__name__}")
    try:
        jsonschema.validators.validator_for(schema, default=_DRAFTS).check_schema(schema)
    except SchemaError as error:
        kinds = ("object", "array", "string", "number", "integer", "boolean", "null")
        guess = did_you_mean(str(error.instance), kinds) if error.json_path.endswith(".type") else ""
        raise ValueError(f"not a JSON schema, at {error.json_path}: {error.message}{guess}") from None


def validator_for(schema: dict[str, Any]) -> Any:
    """A validator of the schema's own draft (2020-12 where it names none).

    Its errors are raised while it is iterated: `SlowPattern`, and `ReferenceOutside` for a `$ref` to elsewhere.
    """
    base = jsonschema.validators.validator_for(schema, default=_DRAFTS)
    limited = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        base, {"pattern": _pattern, "patternProperties": _pattern_properties}
    )
    registry: referencing.Registry[Any] = referencing.Registry(retrieve=_refuse)  # type: ignore[call-arg] # attrs
    return _Guarded(limited(schema, registry=registry))


class _Guarded:
    """A validator whose unresolvable references are told apart from answers that do not fit."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    def iter_errors(self, value: Any) -> Iterator[ValidationError]:
        try:
            yield from self._validator.iter_errors(value)
        except referencing.exceptions.Unresolvable as error:
            raise ReferenceOutside(str(error)) from error


def _refuse(uri: str) -> Any:
    raise referencing.exceptions.NoSuchResource(ref=uri)  # type: ignore[call-arg] # attrs


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, rules in patterns.items():
        for name, value in instance.items():
            if _found(pattern, name):
                yield from validator.descend(value, rules, path=name, schema_path=pattern)


def _found(pattern: str, text: str) -> bool:
    try:
        return regex.search(pattern, text, timeout=SECONDS) is not None
    except TimeoutError:
        raise SlowPattern(pattern) from None
    except regex.error as error:
        raise ValueError(f"the schema's pattern {pattern!r} is no regular expression: {error}") from None
