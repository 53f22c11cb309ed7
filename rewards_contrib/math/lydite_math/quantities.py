"""Numbers with a mark behind them: percent, degrees, units."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.formulas import same_formula
from lydite_math.rules import Rules
from lydite_math.tree import Degrees, Mul, Node, Num, Percent, Quantity, Sym, Unit

_MULTIPLIERS: Final = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
}  # fmt: skip


def is_marked(node: Node) -> bool:
    """Whether the node is a number with a mark."""
    return isinstance(node, Percent | Degrees | Quantity)


def same_quantity(gold: Node, given: Node, rules: Rules) -> bool:
    """Whether two numbers are the same, at least one of them with a mark."""
    if _other_nouns(gold, given):
        return False
    gold, given = _counted(gold), _counted(given)
    if isinstance(gold, Percent) or isinstance(given, Percent):
        return _same_percent(gold, given, rules)
    if isinstance(gold, Degrees) or isinstance(given, Degrees):
        return _same_angle(gold, given, rules)
    if isinstance(gold, Quantity) and isinstance(given, Quantity):
        return _same_measure(gold, given, rules)
    if isinstance(gold, Quantity):
        return not rules.units_needed and same_formula(gold.value, given, rules)
    return same_formula(gold, given.value if isinstance(given, Quantity) else given, rules)


def _other_nouns(gold: Node, given: Node) -> bool:
    """Whether two different things were counted: `10 apples`, `10 oranges`; `10 ways` are `10 different ways`."""
    first, second = _said(gold), _said(given)
    return bool(first and second) and not first & second


def _said(node: Node) -> set[str]:
    words = node.unit.noun.split() if isinstance(node, Quantity) else []
    return {one.removesuffix("s") for one in words} - _MULTIPLIERS.keys()


def _counted(node: Node) -> Node:
    """Without the noun of what was counted, a number word such as `million` multiplied in, and without mere "units"."""
    if isinstance(node, Quantity) and {name for name, _ in node.unit.dimensions} == {"unit"}:
        return node.value
    if not isinstance(node, Quantity) or not node.unit.noun:
        return node
    factor = _MULTIPLIERS.get(node.unit.noun.split()[0].removesuffix("s"))
    return node.value if factor is None else Mul((node.value, Num(Fraction(factor))))


def _same_percent(gold: Node, given: Node, rules: Rules) -> bool:
    if isinstance(gold, Percent) and isinstance(given, Percent):
        return same_formula(gold.value, given.value, rules)
    marked, other = (gold, given) if isinstance(gold, Percent) else (given, gold)
    if not isinstance(marked, Percent) or isinstance(other, Degrees | Quantity):
        return False
    hundredths: Node = Mul((other, _HUNDRED))
    if marked is gold:
        if same_formula(marked.value, hundredths, rules):
            return True
        return rules.percent and same_formula(marked.value, given, rules)
    if same_formula(hundredths, marked.value, rules) or same_formula(gold, Mul((marked.value,), (_HUNDRED,)), rules):
        return True
    return rules.percent and same_formula(gold, marked.value, rules)


def _same_angle(gold: Node, given: Node, rules: Rules) -> bool:
    if isinstance(gold, Degrees) and isinstance(given, Degrees):
        return same_formula(gold.value, given.value, rules)
    marked, other = (gold, given) if isinstance(gold, Degrees) else (given, gold)
    assert isinstance(marked, Degrees)
    radians: Node = Mul((marked.value, Sym("pi")), (Num(Fraction(180)),))
    if isinstance(other, Quantity):
        if other.unit.dimensions != (("radian", 1),):
            return other.unit.dimensions in ((("celsius", 1),), (("fahrenheit", 1),)) and same_formula(
                marked.value, other.value, rules
            )
        return same_formula(radians, other.value, rules)
    values = (marked.value, radians)
    if marked is gold:
        return any(same_formula(one, given, rules) for one in values)
    return any(same_formula(gold, one, rules) for one in values)


def _same_measure(gold: Quantity, given: Quantity, rules: Rules) -> bool:
    if gold.unit.dimensions != given.unit.dimensions:
        return False
    if gold.unit.factor == given.unit.factor:
        return same_formula(gold.value, given.value, rules)
    return same_formula(gold.value, _converted(given.value, given.unit, gold.unit), rules)


def _converted(value: Node, unit: Unit, wanted: Unit) -> Node:
    return Mul((value, Num(unit.factor / wanted.factor)))


_HUNDRED: Final = Num(Fraction(100))
