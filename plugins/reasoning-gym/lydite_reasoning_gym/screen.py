"""Answers that must not reach a scorer, because that scorer hands them to Python's `eval`.

Some tasks of reasoning-gym evaluate the model's text, through `eval` or through sympy's `parse_expr`. What
could call, import or look up anything is turned away before.
"""

from __future__ import annotations

import re
from typing import Final

EVALUATES_LISTS: Final = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Tasks that `eval` an answer that should be a list."""
EVALUATES_FORMULAS: Final = frozenset(
    {"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"}
)
"""Tasks that give the answer to sympy's `parse_expr`."""
LONGEST: Final = 4000
"""Characters of any answer; scorers are not written for more, and some take quadratic time."""
LONGEST_FORMULA: Final = 400

# No parentheses, dots or operators: nothing can be called, looked up or raised to a power.
_LIST: Final = re.compile(r"""[A-Za-z0-9_\s\[\],'"-]*""")
_FORMULA: Final = re.compile(r"[A-Za-z0-9\s+\-*/^().=]*")
_FUNCTIONS: Final = frozenset(
    (
        *("sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
        *("exp", "log", "ln", "sqrt", "pi", "Abs"),
    )
)
_NAME: Final = re.compile(r"[A-Za-z]+")
_LOOKUP: Final = re.compile(r"\.\s*[A-Za-z]")
# An exponent of four digits, or one that is a power itself: numbers that fill the memory.
_HUGE: Final = re.compile(r"(?:\*\*|\^)[\s(+-]*(?:[0-9]{4}|[0-9A-Za-z.]+\s*(?:\*\*|\^))")


def is_fit(task: str, answer: str) -> bool:
    """Whether the task's scorer may see the answer."""
    if len(answer) > LONGEST:
        return False
    if task in EVALUATES_LISTS:
        return _LIST.fullmatch(answer) is not None
    if task in EVALUATES_FORMULAS:
        return len(answer) <= LONGEST_FORMULA and _is_formula(answer)
    return True


def _is_formula(answer: str) -> bool:
    if _FORMULA.fullmatch(answer) is None or _LOOKUP.search(answer) or _HUGE.search(answer):
        return False
    return all(len(name) == 1 or name in _FUNCTIONS for name in _NAME.findall(answer))
