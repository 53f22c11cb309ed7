"""Matrices and vectors: computed where they are sums and products of matrices, then compared entry by entry."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import Final, TypeAlias

from lydite_math.limits import MOST_ITEMS, TooLargeError
from lydite_math.tree import Add, Group, Matrix, Mul, Node, Num, Pow, Sym, walk

Rows: TypeAlias = tuple[tuple[Node, ...], ...]
_LARGEST_POWER: Final = 8
_LARGEST_DETERMINANT: Final = 4


def has_matrix(node: Node) -> bool:
    """Whether a matrix stands somewhere in the expression."""
    return any(isinstance(one, Matrix) for one in walk(node))


def rows_of(node: Node) -> Rows | None:
    """The entries of what a matrix expression comes to, or None when it is none.

    Raises:
        TooLargeError: when there would be too many entries.
    """
    if isinstance(node, Matrix):
        return node.rows
    if isinstance(node, Group):
        return _nested(node)
    if isinstance(node, Add):
        return _sum([rows_of(one) for one in node.terms])
    if isinstance(node, Mul):
        return _product(node)
    if isinstance(node, Pow):
        return _power(node)
    return None


def _nested(node: Group) -> Rows | None:
    if not node.left or not all(isinstance(one, Group) and one.left for one in node.items):
        return None
    rows = tuple(one.items for one in node.items if isinstance(one, Group))
    return rows if len({len(row) for row in rows}) == 1 else None


def _sum(terms: list[Rows | None]) -> Rows | None:
    result = terms[0]
    for one in terms[1:]:
        if result is None or one is None or len(result) != len(one) or len(result[0]) != len(one[0]):
            return None
        result = tuple(
            tuple(Add(pair) for pair in zip(left, right, strict=True)) for left, right in zip(result, one, strict=True)
        )
    return result


def _product(node: Mul) -> Rows | None:
    result: Rows | None = None
    scalars: list[Node] = []
    for one in node.above:
        if not has_matrix(one):
            scalars.append(one)
            continue
        rows = rows_of(one)
        if rows is None:
            return None
        result = rows if result is None else _times(result, rows)
        if result is None:
            return None
    if result is None or any(map(has_matrix, node.below)):
        return None
    if not scalars and not node.below:
        return result
    return tuple(tuple(Mul((*scalars, entry), node.below) for entry in row) for row in result)


def _times(left: Rows, right: Rows) -> Rows | None:
    if len(left[0]) != len(right):
        return None
    if len(left) * len(right[0]) * len(right) > MOST_ITEMS:
        raise TooLargeError
    columns = tuple(zip(*right, strict=True))
    return tuple(
        tuple(Add(tuple(Mul(pair) for pair in zip(row, column, strict=True))) for column in columns) for row in left
    )


def _power(node: Pow) -> Rows | None:
    rows = rows_of(node.base)
    if rows is None:
        return None
    if node.exponent in (Sym("T"), Sym("top")):
        return tuple(zip(*rows, strict=True))
    exponent = node.exponent
    if not isinstance(exponent, Num) or exponent.value.denominator != 1 or exponent.value < 1:
        return None
    if exponent.value > _LARGEST_POWER:
        raise TooLargeError
    result: Rows | None = rows
    for _ in range(int(exponent.value) - 1):
        result = None if result is None else _times(result, rows)
    return result


def determinant(rows: Rows) -> Node | None:
    """The determinant written out, or None when the matrix is not square or has more than four rows."""
    size = len(rows)
    if size > _LARGEST_DETERMINANT or any(len(row) != size for row in rows):
        return None
    terms: list[Node] = []
    for order in permutations(range(size)):
        inversions = sum(order[i] > order[j] for i in range(size) for j in range(i + 1, size))
        sign = Num(Fraction((-1) ** inversions))
        terms.append(Mul((sign, *(rows[row][column] for row, column in enumerate(order)))))
    return Add(tuple(terms))


def entries(rows: Rows) -> tuple[Node, ...] | None:
    """The entries of a row or column vector, or None for a matrix of several rows and columns."""
    if len(rows) == 1:
        return rows[0]
    return tuple(row[0] for row in rows) if len(rows[0]) == 1 else None
