"""Reads what sums and products are made of: numbers, letters, functions, roots, brackets, matrices."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.brackets import absolute, bracket, french
from lydite_math.names import INVERSES, SEVERAL
from lydite_math.stream import Stream
from lydite_math.tables import big, matrix
from lydite_math.tokens import Token, UnreadableError
from lydite_math.tree import Call, Group, Mul, Node, Num, Pow, Sym
from lydite_math.vectors import UNIT

HALF: Final = Mul((Num(Fraction(1)),), (Num(Fraction(2)),))
_DENIED: Final = frozenset({"not", "never", "isn't", "wrong"})
_UNKNOWN_FUNCTIONS: Final = frozenset("fghFGH")


def atom(stream: Stream) -> Node:
    """One factor without its exponent.

    Raises:
        UnreadableError: when none begins here.
    """
    stream.deeper()
    try:
        return _atom(stream, stream.take())
    finally:
        stream.back()


def _atom(stream: Stream, token: Token) -> Node:
    if token.kind == "num":
        assert token.number is not None
        return token.number
    if token.kind == "sym":
        return _letter(stream, token.text)
    if token.kind == "fn":
        return _function(stream, token.text)
    if token.kind == "open":
        inside = bracket(stream, token.text)
        if isinstance(inside, Sym) and " after " in inside.name and stream.at("open", "("):
            return _composed(stream, inside)
        return inside
    if token.kind == "close" and token.text == "]":
        return french(stream)
    if token.kind == "op" and token.text == "|":
        return absolute(stream)
    if token.kind == "cmd":
        return _command(stream, token.text)
    denied = stream.at("rel", "=") and not _DENIED.isdisjoint(token.text.casefold().split())
    if token.kind == "words" and not denied and (stream.at("rel", "=") or stream.at("end")):
        return Sym(token.text.casefold())
    raise UnreadableError


def _letter(stream: Stream, name: str) -> Node:
    if stream.accept("op", "_"):
        name += f"_{stream.subscript()}"
    while stream.accept("op", "'"):
        name += "'"
    if name in _UNKNOWN_FUNCTIONS and _inverse_follows(stream):
        for _ in range(5):
            stream.take()
        name += "^-1"
    if name in _UNKNOWN_FUNCTIONS and stream.at("cmd", "circ") and stream.peek(1).text in _UNKNOWN_FUNCTIONS:
        stream.take()
        return Sym(f"{name} after {stream.take().text}")
    if (name[0] in _UNKNOWN_FUNCTIONS) and stream.peek()[:3] == ("open", "(", False):
        stream.take()
        inside = bracket(stream, "(")
        return Call(name, inside.items if isinstance(inside, Group) and inside.left == "(" else (inside,))
    return Sym(name)


def _inverse_follows(stream: Stream) -> bool:
    """Whether `^{-1}(` follows: the inverse of a function, where a power would stand behind the argument."""
    return [stream.peek(ahead).text for ahead in range(6)] == ["^", "g", "-", "1", "g", "("]


def _composed(stream: Stream, function: Sym) -> Node:
    """`(f o g)(x)` as `f(g(x))`."""
    outer, _, inner = function.name.partition(" after ")
    stream.take()
    argument = bracket(stream, "(")
    return Call(outer, (Call(inner, argument.items if isinstance(argument, Group) else (argument,)),))


def _function(stream: Stream, name: str) -> Node:
    if name == "sqrt":
        return _root(stream)
    base: Node | None = None
    exponent: Node | None = None
    for _ in range(2):
        if base is None and stream.at("op", "_"):
            stream.take()
            base = atom(stream)
        elif exponent is None and stream.accept("op", "^"):
            exponent = signed_atom(stream)
    if exponent == Num(Fraction(-1), None, 1) and name in INVERSES:
        name, exponent = INVERSES[name], None
    if name in SEVERAL:
        if not (stream.at("open", "(") or stream.at("open", "{") or stream.at("open", "[")):
            raise UnreadableError
        inside = atom(stream)
        result: Node = Call(name, inside.items if isinstance(inside, Group) else (inside,))
    else:
        result = _applied(name, _argument(stream), base)
    return result if exponent is None else Pow(result, exponent)


def signed_atom(stream: Stream) -> Node:
    """An exponent or argument that may have a minus."""
    if stream.accept("op", "-"):
        inner = atom(stream)
        return Num(-inner.value, inner.decimals, inner.significant) if isinstance(inner, Num) else _minus(inner)
    return atom(stream)


def _minus(node: Node) -> Node:
    return Mul((Num(Fraction(-1)), node))


def _applied(name: str, argument: Node, base: Node | None) -> Node:
    if name == "exp":
        return Pow(Sym("e"), argument)
    if name == "sqrt":
        return Pow(argument, HALF)
    if name == "cbrt":
        return Call("root", (argument, Num(Fraction(3))))
    if name == "lg":
        return Call("log", (argument, Num(Fraction(10))))
    if base is not None:
        return Call("log" if name == "log" else f"{name}_", (argument, base))
    return Call("log" if name == "ln" else name, (argument,))


def _argument(stream: Stream) -> Node:
    """What a function is applied to: a bracket, or the factors that follow up to a sign or another function."""
    if stream.at("open", "(", "g", "[", "f", "c") or (stream.at("op", "|") and not stream.bars):
        inside = atom(stream)
        if isinstance(inside, Group):
            raise UnreadableError
        return inside
    if stream.accept("op", "-"):
        stream.deeper()
        inner = _minus(_argument(stream))
        stream.back()
        return inner
    if stream.at("fn"):
        stream.deeper()
        inner = _function(stream, stream.take().text)
        stream.back()
        return inner
    factors = [_raised(stream)]
    while stream.at("num") or stream.at("sym") or stream.at("cmd", "frac") or stream.at("fn", "sqrt"):
        if stream.peek().unit is not None:
            break
        factors.append(_raised(stream))
    if stream.at("op", "/") and stream.peek(1).kind == "num" and all(_constant(one) for one in factors):
        stream.take()
        return Mul(tuple(factors), (atom(stream),))
    return factors[0] if len(factors) == 1 else Mul(tuple(factors))


def _constant(node: Node) -> bool:
    return isinstance(node, Num) or node == Sym("pi")


def _raised(stream: Stream) -> Node:
    base = _function(stream, stream.take().text) if stream.at("fn", "sqrt") else atom(stream)
    if stream.accept("op", "^"):
        if stream.accept("cmd", "circ"):
            return Mul((base, Sym("pi")), (Num(Fraction(180)),))
        if stream.peek()[:2] == ("open", "g") and stream.peek(1)[:2] == ("cmd", "circ"):
            for _ in range(3):
                stream.take()
            return Mul((base, Sym("pi")), (Num(Fraction(180)),))
        return Pow(base, signed_atom(stream))
    return base


def _command(stream: Stream, name: str) -> Node:
    if name == "frac":
        above = _piece(stream)
        return Mul((above,), (_piece(stream),))
    if name == "binom":
        above = _piece(stream)
        return Call("binom", (above, _piece(stream)))
    if name == "infty":
        return Sym("oo")
    if name == "emptyset":
        return Group((), "{", "}")
    if name == "mathbb":
        return _number_set(stream)
    if name in ("overline", "angle", "triangle"):
        return _named(stream, name)
    if name in ("sum", "prod"):
        return big(stream, name, signed_atom)
    if name == "begin":
        return matrix(stream)
    if name == "unitvector":
        return Sym(UNIT + stream.subscript())
    if name == "cup_or_U":
        return _letter(stream, "U")
    raise UnreadableError


def _piece(stream: Stream) -> Node:
    """The argument of a fraction: a group, or the next digit or letter."""
    token = stream.peek()
    if token.kind == "num" and len(token.text) > 1 and token.text.isdigit():
        stream.take()
        rest = token.text[1:]
        stream.put_back(Token("num", rest, False, Num(Fraction(int(rest)), None, len(rest))))
        return Num(Fraction(int(token.text[0])), None, 1)
    return atom(stream)


def _root(stream: Stream) -> Node:
    """The radicand and degree after a root sign."""
    degree: Node | None = None
    if stream.at("open", "[") and not stream.peek().spaced:
        degree = atom(stream)
    radicand = atom(stream)
    if isinstance(radicand, Group):
        raise UnreadableError
    return Pow(radicand, HALF) if degree is None else Call("root", (radicand, degree))


def _number_set(stream: Stream) -> Node:
    name = f"set {stream.subscript()}"
    while stream.at("op", "^", "_") and (stream.peek(1)[1] in ("+", "-", "*") or stream.peek(1)[1] in ("g", "0")):
        stream.take()
        name += stream.subscript()
    return Sym(name.replace("set Zgeq", "set Z>="))


def _named(stream: Stream, name: str) -> Node:
    if stream.at("open", "g"):
        return _letter(stream, f"{name} {stream.subscript()}")
    letters = []
    while stream.at("sym"):
        letters.append(stream.take().text)
    if not letters:
        raise UnreadableError
    return Sym(f"{name} {''.join(letters)}")
