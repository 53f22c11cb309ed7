"""What an answer may cost: beyond these bounds a text is refused at once, whatever it may mean.

A model that is paid for answers learns to write anything. Each bound is far above what a person would write as
an answer, and far below what takes a noticeable part of a second.
"""

from __future__ import annotations

from typing import Final

LONGEST_ANSWER: Final = 8_000
"""Characters of an extracted answer."""
LONGEST_TAIL: Final = 20_000
"""Characters at the end of a completion in which anchors other than a box are looked for."""
DEEPEST: Final = 40
"""Brackets, roots, powers and functions inside one another. Keeps the parser's recursion within Python's own limit
from any starting depth, so that the verdict is the same in every thread."""
LONGEST_NUMBER: Final = 300
"""Digits of one literal."""
MOST_BITS: Final = 60_000
"""Size of an exact number or of a power, so that 2004! is read and 100000! is not."""
LARGEST_FACTORIAL: Final = 5_000
LONGEST_SUM: Final = 2_000
"""Terms of a sum or product."""
MOST_ITEMS: Final = 300
"""Answers in one list or set, entries in one matrix."""
MOST_STEPS: Final = 60_000
"""Arithmetic operations for one verdict, all points and all pairs of items together."""


class TooLargeError(Exception):
    """An answer that is refused because judging it would cost too much."""


class Budget:
    """Counts the arithmetic of one verdict.

    Steps are counted instead of seconds, so that the verdict does not depend on how busy the machine is.
    """

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Takes note of the work.

        Raises:
            TooLargeError: when there has been too much.
        """
        self._left -= steps
        if self._left < 0:
            raise TooLargeError
