"""What counts as the same: the options of the reward, as the comparisons see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from lydite_math.limits import Budget


@dataclass(frozen=True, slots=True)
class Rules:
    """How strictly two answers are compared, and what comparing them may cost."""

    relative_tolerance: Fraction = Fraction(0)
    absolute_tolerance: Fraction = Fraction(0)
    rounding: bool = True
    """A decimal stands for all numbers that round to it."""
    percent: bool = True
    """`20%` is both 0.2 and 20."""
    units_needed: bool = False
    """A unit that the reference gives must be given."""
    ordered: bool = False
    """The order of a bare list matters."""
    budget: Budget = field(default_factory=Budget)
    integers: frozenset[str] = frozenset()
    """Letters that stand for whole numbers."""
