"""Reads sums, products, powers and what they are made of."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.atoms import atom
from lydite_math.measures import at_noun, at_unit, noun, quantity
from lydite_math.stream import Stream
from lydite_math.tokens import UnreadableError
from lydite_math.tree import (
    MINUS_ONE,
    SIGN,
    Add,
    Based,
    Call,
    Degrees,
    Group,
    Mul,
    Node,
    Num,
    Percent,
    Pow,
    Quantity,
    Ratio,
    SetOp,
    Sym,
    Unit,
    negated,
    symbols,
)

_SET_OPS: Final = {"cup": "cup", "cap": "cap", "setminus": "minus", "cup_or_U": "cup"}
_TIMES: Final = ("cdot", "times")
_FACTORS: Final = frozenset({
    "frac", "sqrt", "binom", "infty", "mathbb", "overline", "begin", "sum", "prod", "emptyset", "angle",
    "triangle", "circ", "square", "unitvector",
})  # fmt: skip


def expression(stream: Stream) -> Node:
    """Unions, intersections and differences of sets, or a sum."""
    left = ratio(stream)
    while stream.at("cmd", *_SET_OPS):
        op = _SET_OPS[stream.take().text]
        left = SetOp(op, left, ratio(stream))
    return left


def ratio(stream: Stream) -> Node:
    """`a : b : c`, or a sum."""
    parts = [total(stream)]
    while stream.at("op", ":") and not stream.builders:
        stream.take()
        parts.append(total(stream))
    return parts[0] if len(parts) == 1 else Ratio(tuple(parts))


def total(stream: Stream) -> Node:
    """A sum of products."""
    terms = [product(stream)]
    while True:
        if stream.accept("op", "+"):
            terms.append(product(stream))
        elif stream.accept("op", "-"):
            terms.append(negated(product(stream)))
        elif stream.at("cmd", "pm", "mp"):
            minus = stream.take().text == "mp"
            term = product(stream)
            terms.append(Mul((MINUS_ONE, SIGN, term) if minus else (SIGN, term)))
        else:
            return terms[0] if len(terms) == 1 else Add(tuple(terms))


def product(stream: Stream) -> Node:
    """Factors with a sign for times or division between them, or with none."""
    if stream.at("op", "-", "+") or stream.at("cmd", "pm", "mp"):
        sign = stream.take().text
        stream.deeper()
        inner = product(stream)
        stream.back()
        if sign in ("pm", "mp"):
            return Mul((SIGN, inner))
        if sign == "-" and isinstance(inner, Call) and inner.name == "mod":
            return Call("mod", (negated(inner.args[0]), inner.args[1]))  # -1 mod 2 is 1
        return negated(inner) if sign == "-" else inner
    above, below = [_power(stream)], list[Node]()
    while True:
        if stream.accept("op", "*") or stream.accept("cmd", *_TIMES):
            above.append(_signed(stream))
        elif stream.accept("op", "/") or stream.accept("cmd", "div"):
            below.append(_signed(stream))
        elif stream.accept("cmd", "mod"):
            whole = _whole(above, below)
            above, below = [Call("mod", (whole, _signed(stream)))], []
        elif at_unit(stream):
            return quantity(stream, _whole(above, below))
        elif at_noun(stream) and not symbols(_whole(above, below)):
            return Quantity(_whole(above, below), noun(stream))
        elif _starts_factor(stream):
            _append_implicit(stream, above, below)
        else:
            return _whole(above, below)


def _whole(above: list[Node], below: list[Node]) -> Node:
    return above[0] if len(above) == 1 and not below else Mul(tuple(above), tuple(below))


def _signed(stream: Stream) -> Node:
    stream.deeper()
    try:
        if stream.accept("op", "-"):
            return negated(_signed(stream))
        if stream.accept("op", "+"):
            return _signed(stream)
        return _power(stream)
    finally:
        stream.back()


def _starts_factor(stream: Stream) -> bool:
    token = stream.peek()
    if token.kind in ("num", "sym", "fn"):
        return True
    if token.kind == "open":
        follows = stream.peek(1)
        if token.text == "[" and (follows.kind in ("end", "close") or follows.text in ("cup", "cap")):
            return False  # the end of an interval such as `]0, 1[`
        return not (follows.kind == "cmd" and follows.text in ("mod", "pmod")) and not stream.condition_follows()
    if token.kind == "cmd":
        return token.text in _FACTORS
    return token.kind == "op" and token.text == "|" and not stream.bars and not stream.builders


def _append_implicit(stream: Stream, above: list[Node], below: list[Node]) -> None:
    """One more factor without a sign before it; a whole number before a fraction is a mixed number."""
    token, last = stream.peek(), (below or above)[-1]
    whole = len(above) == 1 and not below and isinstance(last, Num) and last.decimals is None
    if token.kind == "num":
        mixed = whole and token.spaced and stream.peek(1)[:2] == ("op", "/") and stream.peek(2).kind == "num"
        if not mixed:
            if isinstance(last, Num) or not isinstance(last, Group | Call | Pow):
                raise UnreadableError
        else:
            numerator = _power(stream)
            stream.take()
            above[0] = Add((last, Mul((numerator,), (_power(stream),))))
            return
    is_fraction = token.kind == "cmd" and token.text == "frac"
    factor = _power(stream)
    if is_fraction and whole:
        marked = factor.value if isinstance(factor, Percent | Degrees) else factor
        if _plain_fraction(marked):
            mixed_number = Add((last, marked))
            above[0] = type(factor)(mixed_number) if isinstance(factor, Percent | Degrees) else mixed_number
            return
    above.append(factor)


def _plain_fraction(node: Node) -> bool:
    return (
        isinstance(node, Mul)
        and len(node.above) == len(node.below) == 1
        and all(isinstance(one, Num) and one.decimals is None for one in (*node.above, *node.below))
    )


def _power(stream: Stream) -> Node:
    base = _postfix(stream, atom(stream))
    if not stream.accept("op", "^"):
        return base
    if stream.accept("cmd", "circ"):
        return _after_degrees(stream, base)
    if stream.peek()[:2] == ("open", "g") and stream.peek(1)[:2] == ("cmd", "circ") and stream.peek(2).kind == "close":
        for _ in range(3):
            stream.take()
        return _after_degrees(stream, base)
    stream.deeper()
    if stream.accept("op", "-"):
        exponent = negated(_power(stream))
    else:
        stream.accept("op", "+")
        exponent = _power(stream)
    stream.back()
    if isinstance(base, Sym) and stream.accept("op", "_"):  # `x^2_1` is the square of `x_1`
        base = Sym(f"{base.name}_{stream.subscript()}")
    return _postfix(stream, _selections(base, exponent) or Pow(base, exponent))


def _selections(base: Node, exponent: Node) -> Node | None:
    """The number of combinations `C_5^2` or arrangements `A_5^2`."""
    if not isinstance(base, Sym) or base.name[:2] not in ("C_", "A_") or not base.name[2:].isdigit():
        return None
    if not isinstance(exponent, Num) or exponent.value.denominator != 1:
        return None
    chosen = Call("binom", (Num(Fraction(int(base.name[2:]))), exponent))
    return chosen if base.name[0] == "C" else Mul((chosen, Call("factorial", (exponent,))))


def _after_degrees(stream: Stream, base: Node) -> Node:
    """Degrees, or degrees Celsius or Fahrenheit when the letter follows."""
    if stream.at("sym", "C", "F"):
        name = "celsius" if stream.take().text == "C" else "fahrenheit"
        return Quantity(base, Unit(Fraction(1), ((name, 1),)))
    return Degrees(_with_minutes(stream, base))


def _with_minutes(stream: Stream, degrees: Node) -> Node:
    """The degrees with the minutes and seconds of arc that follow added."""
    for part in (60, 3600):
        marks = [stream.peek(ahead)[:2] == ("op", "'") for ahead in (1, 2)]
        if not stream.at("num") or not marks[0] or marks[1] != (part == 3600):
            continue
        number = atom(stream)
        for _ in range(1 + marks[1]):
            stream.take()
        degrees = Add((degrees, Mul((number,), (Num(Fraction(part)),))))
    return degrees


def _postfix(stream: Stream, node: Node) -> Node:
    for _ in range(4):
        if stream.accept("op", "!"):
            node = Call("factorial", (node,))
        elif stream.accept("op", "%"):
            return Percent(node)
        elif isinstance(node, Num) and stream.at("op", "_"):
            stream.take()
            node = _based(stream, node)
        else:
            return node
    raise UnreadableError


def _based(stream: Stream, number: Num) -> Node:
    inner = atom(stream)
    if not isinstance(inner, Num) or number.value.denominator != 1 or inner.value.denominator != 1:
        raise UnreadableError
    if not 2 <= inner.value <= 36:
        raise UnreadableError
    return Based(str(number.value), int(inner.value))
