"""The answer in a field of one JSON object."""

from __future__ import annotations

import json
from typing import Any, Final

from lydite import FormatError, Parsed
from lydite_formats.visible import is_visible

_FENCES: Final = ("```json", "```")


class _Number(str):
    """A number as it was written, so that neither `0.10` nor a number of 5,000 digits changes on the way."""


class _RepeatedError(ValueError):
    """A key stands twice in an object: two answers in one."""


class JsonObject:
    """One JSON object and nothing else; `field` holds the answer, `reasoning_field` the reasoning if there is one."""

    def __init__(self, *, field: str = "answer", reasoning_field: str = "reasoning", allow_fence: bool = True) -> None:
        if field == reasoning_field:
            raise ValueError(f"field and reasoning_field must differ, both are {field!r}")
        self.field = field
        self.reasoning_field = reasoning_field
        self.allow_fence = allow_fence

    @property
    def instructions(self) -> str:
        """What to tell the model."""
        return (
            f"Reply with one JSON object and nothing else. Put your reasoning in {json.dumps(self.reasoning_field)} "
            f"and the final answer in {json.dumps(self.field)}."
        )

    def parse(self, text: str) -> Parsed | FormatError:
        """The field's text: a string as it is, a number as it was written, true and false as in JSON."""
        body = _without_fence(text.strip()) if self.allow_fence else text.strip()
        try:
            found = json.loads(
                body,
                parse_int=_Number,
                parse_float=_Number,
                parse_constant=_refuse_constant,
                object_pairs_hook=_without_repeats,
            )
        except _RepeatedError as error:
            return FormatError("field.repeated", str(error))
        except (ValueError, RecursionError) as error:
            return FormatError("json.broken", str(error)[:120])
        if not isinstance(found, dict):
            return FormatError("json.not_an_object", f"expected an object, got {type(found).__name__}")
        if self.field not in found:
            return FormatError("answer.missing", f"the object has no field {self.field!r}")
        answer = _as_text(found[self.field])
        if answer is None:
            return FormatError("answer.type", f"{self.field!r} must hold a string, a number, true or false")
        if not is_visible(answer):
            return FormatError("answer.empty", f"{self.field!r} is empty")
        return Parsed(answer.strip(), (_as_text(found.get(self.reasoning_field)) or "").strip())


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None


def _without_fence(text: str) -> str:
    for fence in _FENCES:
        if text.startswith(fence) and text.endswith("```") and len(text) >= len(fence) + 3:
            return text[len(fence) : -3]
    return text


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedError(f"the field {key!r} stands twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
