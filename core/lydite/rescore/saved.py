"""One saved completion, whatever file it was saved in."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lydite.errors import DataError
from lydite.types import Episode, FormatError, Generated, Message, Parsed, Sample


@dataclass(frozen=True, slots=True)
class Saved:
    """A completion with what was asked, and what was made of it then."""

    where: str
    """File and line, for messages."""
    group: Hashable
    """Equal for completions of one prompt, sampled together."""
    sample: Sample
    prompt_text: str
    text: str
    has_reference: bool = True
    parsed: Parsed | FormatError | None = None
    """As it was taken apart then, where the file tells."""
    tokens: int | None = None
    finish_reason: Literal["stop", "length"] = "stop"
    step: int | None = None
    reward: float | None = None
    advantage: float | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    """What each reward's verdict was worth then, by its name."""
    generated: Generated | None = None
    """The completion with its tokens, where an engine has just sampled it; no file holds them."""
    episode: Episode | None = None
    """What happened in its environment, where the file tells."""


class SavedCompletions(Protocol):
    """Saved completions in groups, read as they are asked for."""

    regrouped: int
    """Groups whose rows stood apart in the file, and were brought together."""
    holds_tokens: bool
    """Whether every row has `generated`, so that rewards may ask for its tokens."""

    def groups(self) -> Iterator[Sequence[tuple[int, Saved]]]:
        """Groups with the number of each row, from 0, in the order in which they begin.

        Raises:
            DataError: on a row that is none, with file, line and what was expected.
        """
        ...


def text_of(given: Any, where: str, key: str) -> str:
    """A completion as text: itself, or what the assistant says in a list of messages.

    Raises:
        DataError: when it is neither.
    """
    if isinstance(given, str):
        return given
    if is_messages(given):
        return "".join(one["content"] for one in given if one["role"] == "assistant")
    raise DataError(f"{where}: {key!r} is text or a list of {{role, content}}, got {given!r:.80}")


def prompt_of(given: Any, where: str, key: str) -> str | tuple[Message, ...]:
    """A prompt as a sample has it.

    Raises:
        DataError: when it is neither text nor messages.
    """
    if isinstance(given, str):
        return given
    if is_messages(given):
        return tuple(Message(role=one["role"], content=one["content"]) for one in given)
    raise DataError(f"{where}: {key!r} is text or a list of {{role, content}}, got {given!r:.80}")


def is_messages(given: Any) -> bool:
    """Whether it is a list of messages with a role and a content."""
    return (
        isinstance(given, (list, tuple))
        and bool(given)
        and all(
            isinstance(one, Mapping) and all(isinstance(one.get(k), str) for k in ("role", "content")) for one in given
        )
    )


def spoken_prompt(prompt: str | tuple[Message, ...]) -> str:
    """A prompt as one text."""
    return prompt if isinstance(prompt, str) else "\n\n".join(f"{one['role']}: {one['content']}" for one in prompt)


def number_of(content: Mapping[str, Any], key: str, where: str) -> float | None:
    """A number of the row, or None where it is not there.

    Raises:
        DataError: when it is something else.
    """
    value = content.get(key)
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{where}: {key!r} is a number, got {value!r:.80}")
    return float(value)


def whole_number_of(content: Mapping[str, Any], key: str, where: str) -> int | None:
    """A whole number from 0, or None where it is not there.

    Raises:
        DataError: when it is something else.
    """
    value = number_of(content, key, where)
    if value is None:
        return None
    if value < 0 or not value.is_integer():
        raise DataError(f"{where}: {key!r} is a whole number from 0, got {content[key]!r:.80}")
    return int(value)
