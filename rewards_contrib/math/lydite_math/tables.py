"""Reads sums over an index, matrices, systems of equations, and functions in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lydite_math.brackets import condition
from lydite_math.limits import MOST_ITEMS, TooLargeError
from lydite_math.matrices import determinant
from lydite_math.stream import Stream
from lydite_math.tokens import UnreadableError
from lydite_math.tree import Big, Group, Matrix, Node, Quantified, Sym

_MATRICES: Final = frozenset({
    "pmatrix", "bmatrix", "matrix", "Bmatrix", "array", "smallmatrix", "vmatrix", "psmallmatrix",
})  # fmt: skip


def big(stream: Stream, name: str, bound: Callable[[Stream], Node]) -> Node:
    """A sum or product over an index; `bound` reads its upper end."""
    high: Node | None = None
    if stream.accept("op", "^"):
        high = bound(stream)
    stream.expect("op", "_")
    stream.expect("open", "g")
    index = stream.expect("sym").text
    stream.expect("rel", "=")
    low = stream.statement(stream)
    stream.expect("close", "g")
    if high is None:
        stream.expect("op", "^")
        high = bound(stream)
    body = stream.product(stream)
    return Big(name, index, low, high, body)


def _cases(stream: Stream) -> Node:
    """A system of equations, or the pieces of a function with the condition of each."""
    found: list[Node] = []
    while not stream.at("cmd", "end"):
        if stream.accept("cmd", "\\") or stream.accept("op", ","):
            continue
        one = stream.statement(stream)
        stream.accept("op", ",", ";")
        if stream.accept("op", "&"):
            while stream.at("words") or stream.at("conn"):
                stream.take()
            at_end = stream.at("cmd", "\\", "end")
            one = Quantified("if", Sym("otherwise") if at_end else condition(stream), one)
        found.append(one)
        if len(found) > MOST_ITEMS:
            raise TooLargeError
    stream.take()
    stream.subscript()
    if not found:
        raise UnreadableError
    return Group(tuple(found), "", "")


def matrix(stream: Stream) -> Node:
    r"""What stands between `\begin` and `\end`; a determinant is written out."""
    stream.expect("open", "g")
    kind = stream.take().text
    stream.expect("close", "g")
    if kind == "cases":
        return _cases(stream)
    if kind not in _MATRICES:
        raise UnreadableError
    if kind == "array" and stream.at("open", "g"):
        while not stream.accept("close", "g"):
            if stream.take().kind == "end":
                raise UnreadableError
    rows: list[list[Node]] = [[]]
    while not stream.at("cmd", "end"):
        if stream.accept("cmd", "\\"):
            rows.append([])
        elif stream.accept("cmd", "hline") or stream.accept("op", "&"):
            continue
        else:
            rows[-1].append(stream.statement(stream))
            if len(rows) * max(len(rows[0]), len(rows[-1])) > MOST_ITEMS:
                raise TooLargeError
    stream.take()
    stream.subscript()
    full = tuple(tuple(row) for row in rows if row)
    if not full or len({len(row) for row in full}) != 1:
        raise UnreadableError
    if kind != "vmatrix":
        return Matrix(full)
    written_out = determinant(full)
    if written_out is None:
        raise UnreadableError
    return written_out
