"""Queries on small sqlite databases in memory: they read, and nothing else, for a limited time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

MOST_ROWS: Final = 10_000
LARGEST_CELL: Final = 100_000  # bytes
MOST_CELLS: Final = 200_000
_STEPS: Final = 1_000  # of sqlite's virtual machine between two looks at the clock
_READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "readfile", "writefile", "fts3_tokenizer", "edit"})


class Refused(Exception):  # noqa: N818 - an outcome that the caller sorts
    """sqlite would not run it: an error in it, or something that does more than read."""


class TooLong(Exception):  # noqa: N818 - an outcome that the caller sorts
    """It did not come to an end, or gave too much."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query gave."""

    width: int
    rows: tuple[tuple[Any, ...], ...]


@contextmanager
def open_database(script: str, seconds: float) -> Iterator[sqlite3.Connection]:
    """A new database in memory that the script has filled; from then on it can be read only.

    Raises:
        Refused: when the script is wrong.
        TooLong: when it takes longer than that.
    """
    with closing(sqlite3.connect(":memory:", cached_statements=0)) as database:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CELL)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        with _limited(database, seconds):
            database.executescript(script)
        database.set_authorizer(_authorize)
        yield database


def rows_of(database: sqlite3.Connection, query: str, seconds: float) -> Rows:
    """The rows that a query gives.

    Raises:
        Refused: when it cannot be run, or would do more than read.
        TooLong: when it takes longer than that, or gives too much.
    """
    with _limited(database, seconds):
        cursor = database.execute(query)
        found: list[tuple[Any, ...]] = []
        width = len(cursor.description or ())
        for row in cursor:
            found.append(tuple(row))
            if len(found) > MOST_ROWS or len(found) * width > MOST_CELLS:
                raise TooLong(f"more than {MOST_ROWS} rows")
    return Rows(width, tuple(found))


@contextmanager
def _limited(database: sqlite3.Connection, seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    except sqlite3.Error as error:
        if "interrupted" in str(error):
            raise TooLong(f"longer than {seconds:g} s") from None
        raise Refused(str(error)) from None
    except (sqlite3.Warning, ValueError, OverflowError, UnicodeError) as error:
        raise Refused(str(error)) from None
    finally:
        database.set_progress_handler(None, 0)


def _authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
