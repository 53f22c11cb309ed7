"""Reads what is behind a number: units of measure, and nouns of what was counted."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.atoms import atom
from lydite_math.stream import Stream
from lydite_math.tokens import UnreadableError
from lydite_math.tree import Add, Degrees, Mul, Node, Num, Percent, Quantity, Unit, negated
from lydite_math.units import power, product


def at_unit(stream: Stream) -> bool:
    """Whether a unit follows; a letter in upright type is one behind a number."""
    return stream.peek().unit is not None


def quantity(stream: Stream, value: Node) -> Node:
    """The number with the unit that follows.

    Raises:
        UnreadableError: on a power that no unit has.
    """
    unit: Unit | None = None
    inverted = False
    while stream.peek().unit is not None:
        one = stream.take().unit
        assert one is not None
        if stream.at("op", "^"):
            stream.take()
            exponent = atom(stream) if not stream.accept("op", "-") else negated(atom(stream))
            if not isinstance(exponent, Num) or exponent.value not in (1, 2, 3, -1, -2, -3):
                raise UnreadableError
            one = power(one, int(exponent.value))
        unit = one if unit is None else product(unit, one, inverted=inverted)
        inverted = False
        if stream.peek(1).unit is not None and (stream.at("op", "/", "*") or stream.at("cmd", "cdot")):
            inverted = stream.take().text == "/"
    assert unit is not None
    if stream.at("words"):
        noun(stream)
    value = _with_smaller(stream, value, unit)
    if unit.dimensions == (("degree", 1),):
        return Degrees(value)
    if unit.dimensions == (("percent", 1),):
        return Percent(value)
    return Quantity(value, unit)


def _with_smaller(stream: Stream, value: Node, unit: Unit) -> Node:
    """The number of units, with what follows in a smaller unit added: `3 hours and 20 minutes`."""
    ahead = 1 if stream.at("conn", "and") else 0
    smaller = stream.peek(ahead + 1).unit
    if stream.peek(ahead).kind != "num" or smaller is None or smaller.dimensions != unit.dimensions:
        return value
    if not unit.dimensions or smaller.factor >= unit.factor:
        return value
    stream.accept("conn")
    number = atom(stream)
    stream.take()
    return Add((value, Mul((number, Num(smaller.factor / unit.factor)))))


def at_noun(stream: Stream) -> bool:
    """Whether words follow that may name what was counted."""
    return stream.at("words") and stream.peek().text.casefold().split()[0] not in _NO_NOUN


def noun(stream: Stream) -> Unit:
    """The words that follow, as what was counted.

    Raises:
        UnreadableError: on words that say something about the number.
    """
    words: list[str] = []
    while stream.at("words") or (words and stream.at("sym") and stream.peek().spaced):
        words.append(stream.take().text)
    text = " ".join(words).casefold()
    if len(words) > 4 or any(one in _NO_NOUN for one in text.split()):
        raise UnreadableError
    return Unit(Fraction(1), (), text)


_NO_NOUN: Final = frozenset({
    "not", "if", "for", "where", "when", "with", "is", "are", "was", "or", "and", "to", "from", "than", "more",
    "less", "at", "least", "most", "all", "mod", "modulo", "between", "minus", "plus", "times", "divided",
    "out",
})  # fmt: skip
