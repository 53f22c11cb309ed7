"""A query that gives what the reference query gives, or says the same."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from lydite import Evidence, Verdict, reward
from lydite_text.fenced import unfenced
from lydite_text.sql_structure import same_query, single_select
from lydite_text.sqlite_run import Refused, Rows, TooLong, open_database, rows_of

LONGEST: Final = 10_000
"""Characters of a query that is read."""


@reward(range=(0.0, 1.0), timeout=20.0)
def sql(
    answer: str,
    reference: Any,
    setup: Any = None,
    *,
    by: Literal["execution", "structure", "either"] = "either",
    dialect: str = "sqlite",
    ordered: Literal["as_reference", "always", "never"] = "as_reference",
    seconds: Annotated[float, Field(gt=0.0, le=15.0)] = 2.0,
    tolerance: Annotated[float, Field(ge=0.0)] = 1e-9,
) -> Verdict:
    """1 when the answer is one SELECT that means what the reference query means, else 0.

    `execution`: both give the same rows on every database of the column `setup` (statements that make and fill a
    sqlite database, or a list of them: several databases catch a query that is right by luck). `structure`: both are
    the same tree once names, quotes, order of AND and the like are made alike; `either`: execution where the sample
    has a `setup`, structure otherwise. The order of rows counts where the reference has an ORDER BY. A query may
    read and nothing else, for `seconds` on one database.
    """
    gold = unfenced(str(reference)) if reference is not None else ""
    if not gold.strip():
        return Verdict.error("reference.empty", scope="prompt")
    said = unfenced(answer)
    if not said.strip():
        return Verdict(0.0, passed=False, reason="answer.empty")
    if len(said) > LONGEST:
        return Verdict(0.0, passed=False, reason="answer.long")
    databases = [setup] if isinstance(setup, str) else list(setup or [])
    if by == "execution" and not databases:
        return Verdict.error("setup.missing", scope="prompt")
    wanted = single_select(gold, dialect)
    if isinstance(wanted, str):
        return Verdict.error(f"reference.{wanted}", scope="prompt")
    given = single_select(said, dialect)
    if isinstance(given, str):
        return Verdict(0.0, passed=False, reason=f"sql.{given}", parsed=said[:1000])
    if by != "structure" and databases:
        in_order = ordered == "always" or (ordered == "as_reference" and wanted.args.get("order") is not None)
        return _executed(said, gold, databases, in_order, seconds, tolerance)
    right = same_query(given, wanted, dialect)
    return Verdict(float(right), passed=right, reason="sql.same" if right else "sql.different", parsed=said[:1000])


def _executed(said: str, gold: str, databases: list[Any], in_order: bool, seconds: float, tolerance: float) -> Verdict:
    telling = False
    for place, script in enumerate(databases):
        try:
            with open_database(str(script), seconds) as database:
                expected = rows_of(database, gold, seconds)
        except (Refused, TooLong) as error:
            return Verdict.error(f"setup.{type(error).__name__.lower()}", scope="prompt")
        telling = telling or bool(expected.rows)
        with open_database(str(script), seconds) as database:
            try:
                found = rows_of(database, said, seconds)
            except TooLong:
                return Verdict(0.0, passed=False, reason="sql.slow", parsed=said[:1000])
            except Refused as error:
                evidence = (Evidence(str(error)[:300]),)
                return Verdict(0.0, passed=False, reason="sql.refused", parsed=said[:1000], evidence=evidence)
        if not _same(found, expected, in_order, tolerance):
            evidence = (Evidence(f"database {place + 1}: {_shown(found)}", note=f"expected {_shown(expected)}"),)
            return Verdict(0.0, passed=False, reason="sql.other_rows", parsed=said[:1000], evidence=evidence)
    if not telling:  # every database gives nothing, and so does any query that asks for nothing
        return Verdict.error("setup.no_rows", scope="prompt")
    return Verdict(1.0, passed=True, reason="sql.same_rows", parsed=said[:1000])


def _same(found: Rows, expected: Rows, in_order: bool, tolerance: float) -> bool:
    if found.width != expected.width or len(found.rows) != len(expected.rows):
        return False
    one, other = list(found.rows), list(expected.rows)
    if not in_order:
        one, other = sorted(one, key=_order), sorted(other, key=_order)
    return all(
        _same_cell(a, b, tolerance)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def _same_cell(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))
    return type(one) is type(other) and bool(one == other)


def _order(row: tuple[Any, ...]) -> tuple[tuple[int, Any], ...]:
    """A key under which rows of any types can be sorted, numbers rounded so that nearly equal ones stay together."""
    return tuple(
        (0, 0)
        if cell is None
        else (1, float(f"{cell:.9g}"))
        if isinstance(cell, int | float)
        else (2, cell)
        if isinstance(cell, str)
        else (3, repr(cell))
        for cell in row
    )


def _shown(rows: Rows) -> str:
    return f"{len(rows.rows)} rows, {', '.join(str(row) for row in rows.rows[:2])}"[:150]
