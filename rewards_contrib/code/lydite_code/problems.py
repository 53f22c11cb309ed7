"""What can be wrong with a sample's tests, as opposed to a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lydite import Evidence, Status, Verdict


class BadTests(ValueError):  # noqa: N818 - says what is bad
    """A sample's tests cannot be used: nobody's program can be judged by them."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """A code: `tests.missing`, `tests.malformed` or `tests.weak`."""

    def verdict(self) -> Verdict:
        """The error that the reward returns: the prompt's fault, with the message as evidence."""
        return broken(self.reason, str(self))


def broken(reason: str, detail: str) -> Verdict:
    """An error that is the prompt's or the machine's fault, with an explanation."""
    return Verdict(None, Status.ERROR, reason=reason, evidence=(Evidence(detail, note="error"),), scope="prompt")


def items_of(column: Any, *, name: str, one: str) -> Sequence[Any]:
    """The items of a column that holds a list, or the JSON text of one. `one`: what an item is called.

    Raises:
        BadTests: when it holds something else, or nothing.
    """
    if isinstance(column, str):
        try:
            column = json.loads(column)
        except ValueError as error:
            raise BadTests("tests.malformed", f"the column `{name}` is a text and no JSON: {error}") from None
    if column is None or (isinstance(column, Sequence) and not column):
        raise BadTests("tests.missing", f"the column `{name}` is empty; a program is judged by one {one} at least")
    if not isinstance(column, Sequence) or isinstance(column, str | bytes):
        raise BadTests("tests.malformed", f"the column `{name}` must be a list, got {type(column).__name__}")
    return column
