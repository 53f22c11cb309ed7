"""JSON lines as people write them: one object on each line, and errors that name file, line and what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lydite.errors import DataError

SHOWN: Final = 80  # characters of a broken line that an error quotes


def read_objects(path: Path, *, example: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with the numbers of their lines, from 1, read as they are asked for; empty lines pass.

    `example` is a line as it should be, for the messages.

    Raises:
        DataError: when there is no such file, it is no UTF-8, or a line is no JSON object.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, parsed_object(line, f"{path}:{number}", example=example)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def parsed_object(line: bytes, where: str, *, example: str) -> dict[str, Any]:
    """The object on a line.

    Raises:
        DataError: when it is none; `where` names the place.
    """
    try:
        content = json.loads(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not a text in UTF-8 (byte {error.start} of the line); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        shown = line.decode("utf-8", "replace").strip()[:SHOWN]
        what = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise DataError(f"{where}: expected a JSON object such as {example}, got {shown!r} ({what})") from None
    if not isinstance(content, dict):
        raise DataError(f"{where}: expected a JSON object such as {example}, got {str(content)[:SHOWN]!r}")
    return content
