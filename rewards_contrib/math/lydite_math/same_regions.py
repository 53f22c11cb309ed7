"""Comparison of sets of real numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from lydite_math.formulas import same_formula
from lydite_math.limits import TooLargeError
from lydite_math.numbers import same_value
from lydite_math.regions import Piece, Region
from lydite_math.rules import Rules
from lydite_math.tree import MINUS_ONE, Mul, Node, Sym
from lydite_math.values import NoValueError, Point, is_real, value

_INFINITE: Final = Sym("oo")
_MOST_WHOLE: Final = 300
_BESIDE: Final = 0.37
"""Added to a whole number, gives one that is none."""


def same_region(gold: Region, given: Region, rules: Rules) -> bool:
    """Whether two sets hold the same numbers.

    With numeric ends, membership is compared at every end and between every two; else the pieces are matched.
    """
    ends: list[Any] = []
    if _collect(gold, ends, rules) and _collect(given, ends, rules):
        return _same_members(gold, given, ends, rules)
    left, right = _pieces(gold), _pieces(given)
    if left is None or right is None or len(left) != len(right):
        return False
    for piece in left:
        match = next((one for one in right if _same_piece(piece, one, rules)), None)
        if match is None:
            return False
        right.remove(match)
    return True


def _collect(one: Region, ends: list[Any], rules: Rules) -> bool:
    """Adds the finite ends to the list, and says whether all ends are numbers."""
    if one.op == "empty":
        return True
    if one.op == "whole":
        ends.extend([] if one.lowest is None else [Point({}, rules.budget).arithmetic.mpf(one.lowest)])
        return True
    if one.piece is not None:
        for end in (one.piece.low, one.piece.high):
            if _sign_of_infinity(end):
                continue
            number = _number(end, rules)
            if number is None:
                return False
            ends.append(number)
        return True
    assert one.left is not None
    assert one.right is not None
    return _collect(one.left, ends, rules) and _collect(one.right, ends, rules)


def _number(node: Node, rules: Rules) -> Any:
    try:
        number = value(node, Point({}, rules.budget))
    except NoValueError:
        return None
    return number.real if is_real(number) else None


def _sign_of_infinity(node: Node) -> int:
    if node == _INFINITE:
        return 1
    if isinstance(node, Mul) and not node.below and node.above[-1:] == (_INFINITE,) and len(node.above) == 2:
        return -1 if node.above[0] == MINUS_ONE else 0
    return 0


def _same_members(gold: Region, given: Region, ends: list[Any], rules: Rules) -> bool:
    distinct: list[Any] = []
    for end in sorted(ends):
        if not distinct or not same_value(distinct[-1], end):
            distinct.append(end)
    if not distinct:
        distinct = [Point({}, rules.budget).arithmetic.mpf(0)]
    probes = [distinct[0] - 1, *distinct, distinct[-1] + 1]
    probes += [(low + high) / 2 for low, high in pairwise(distinct)]
    if _has_whole(gold) or _has_whole(given):
        first, last = int(distinct[0]) - 2, int(distinct[-1]) + 2
        if last - first > _MOST_WHOLE:
            raise TooLargeError
        for number in range(first, last + 1):
            probes += [distinct[0] * 0 + number, distinct[0] * 0 + number + _BESIDE]
    return all(_holds(gold, probe, rules) == _holds(given, probe, rules) for probe in probes)


def _has_whole(one: Region) -> bool:
    return one.op == "whole" or any(side is not None and _has_whole(side) for side in (one.left, one.right))


def _holds(one: Region, number: Any, rules: Rules) -> bool:
    if one.op == "empty":
        return False
    if one.op == "whole":
        return bool(number == int(number)) and (one.lowest is None or bool(number >= one.lowest))
    if one.piece is not None:
        piece = one.piece
        return _beyond(piece.low, number, piece.low_closed, 1, rules) and _beyond(
            piece.high, number, piece.high_closed, -1, rules
        )
    assert one.left is not None
    assert one.right is not None
    left, right = _holds(one.left, number, rules), _holds(one.right, number, rules)
    return {"cup": left or right, "cap": left and right, "minus": left and not right}[one.op]


def _beyond(end: Node, number: Any, closed: bool, direction: int, rules: Rules) -> bool:
    infinite = _sign_of_infinity(end)
    if infinite:
        return infinite == -direction
    bound = _number(end, rules)
    if same_value(bound, number):
        return closed
    return bool((number - bound) * direction > 0)


def _pieces(one: Region) -> list[Piece] | None:
    if one.op == "empty":
        return []
    if one.op == "whole":
        return None
    if one.piece is not None:
        return [one.piece]
    assert one.left is not None
    assert one.right is not None
    left, right = _pieces(one.left), _pieces(one.right)
    if left is None or right is None:
        return None
    if one.op == "cup":
        return left + right
    if one.op == "cap" and len(left) == len(right) == 1:
        met = _met(left[0], right[0])
        return None if met is None else [met]
    if one.op == "minus" and len(left) == len(right) == 1 and right[0].low == right[0].high:
        cut = right[0].low
        return [
            Piece(left[0].low, cut, left[0].low_closed, False),
            Piece(cut, left[0].high, False, left[0].high_closed),
        ]
    return None


def _met(left: Piece, right: Piece) -> Piece | None:
    """The intersection of two half-lines that point at one another."""
    if _sign_of_infinity(left.high) == 1 and _sign_of_infinity(right.low) == -1:
        return Piece(left.low, right.high, left.low_closed, right.high_closed)
    if _sign_of_infinity(right.high) == 1 and _sign_of_infinity(left.low) == -1:
        return Piece(right.low, left.high, right.low_closed, left.high_closed)
    return None


def _same_piece(gold: Piece, given: Piece, rules: Rules) -> bool:
    if (gold.low_closed, gold.high_closed) != (given.low_closed, given.high_closed):
        return False
    return _same_end(gold.low, given.low, rules) and _same_end(gold.high, given.high, rules)


def _same_end(gold: Node, given: Node, rules: Rules) -> bool:
    left, right = _sign_of_infinity(gold), _sign_of_infinity(given)
    return left == right if left or right else same_formula(gold, given, rules)
