"""Dates: read in a text without guessing, and counted as deadlines are."""

from lydite_legal.dates.counting import Counting, count_deadline
from lydite_legal.dates.reading import DateSpan, Numeric, read_dates

__all__ = ["Counting", "DateSpan", "Numeric", "count_deadline", "read_dates"]
