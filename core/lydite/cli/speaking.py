"""What the command line says beside its results: errors in red, notes, and the log, all on stderr."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.text import Text


def print_error(message: str) -> None:
    """`error: ...` in red on stderr."""
    _print_stderr(Text(f"error: {message}", style="red"))


def print_note(message: str) -> None:
    """A line beside the results, on stderr."""
    _print_stderr(Text(message))


def print_json(content: Any) -> None:
    """The content as JSON on stdout, for other programs."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def send_log_to_stderr() -> None:
    """Shows what lydite logs, a line each; called again, it changes nothing."""
    logger = logging.getLogger("lydite")
    if not any(isinstance(handler, _ToStderr) for handler in logger.handlers):
        logger.addHandler(_ToStderr())
        logger.setLevel(logging.INFO)
        logger.propagate = False


class _ToStderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time, so that lines appear above a live display, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        with suppress(OSError):  # sent into a file on a full disk, a line is lost, and nothing else
            print(f"{prefix}{record.getMessage()}", file=sys.stderr)


def _print_stderr(text: Text) -> None:
    # soft_wrap: a message that is cut into lines cannot be copied or searched for
    with suppress(OSError):  # as above: the exit code says it all the same
        Console(stderr=True, highlight=False).print(text, soft_wrap=True)
