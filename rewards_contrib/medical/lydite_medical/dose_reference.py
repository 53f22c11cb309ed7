"""What a task gives to compare a dose with: the right dose, the most a day, and what a patient weighs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite_medical.quantities import Quantity, read_quantities
from lydite_medical.reply import plain


def read_reference(given: Any) -> Quantity | None:
    """The one quantity of a reference, or None when it is none.

    It is text ("400 mg", "5-10 mg", "15 mg/kg", "1.2 g/day", "400 mg every 8 hours") or a table: `value`, or `low` and
    `high`, with `unit`.
    """
    if isinstance(given, Mapping):
        low, high = given.get("low", given.get("value")), given.get("high", given.get("value"))
        if not _is_number(low) or not _is_number(high) or not isinstance(given.get("unit"), str):
            return None
        given = (
            f"{_digits(low)} to {_digits(high)} {given['unit']}" if low != high else f"{_digits(low)} {given['unit']}"
        )
    if not isinstance(given, str):
        return None
    reading = read_quantities(plain(given))
    if len(reading.quantities) != 1 or reading.bare_numbers or reading.unfinished:
        return None
    return reading.quantities[0]


def read_positive(given: Any) -> float | None:
    """A number above 0 from a column, as a number or as text; None when it is none."""
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            return None
    return float(given) if _is_number(given) and 0 < given < float("inf") else None


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _digits(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".")
