"""Reads relations, what qualifies them, and lists of answers."""

from __future__ import annotations

from typing import Final

from lydite_math.expressions import expression, product
from lydite_math.limits import MOST_ITEMS, TooLargeError
from lydite_math.names import NUMBER_SETS
from lydite_math.stream import Stream
from lydite_math.tokens import Token, UnreadableError
from lydite_math.tree import Call, Group, Logic, Node, Quantified, Relation, Sym, Words

_QUALIFIERS: Final = frozenset(("for", "where", "when", "with", "if"))
_FILL: Final = _QUALIFIERS | frozenset(
    (
        *(
            "all",
            "every",
            "any",
            "each",
            "some",
            "a",
            "an",
            "the",
            "is",
            "are",
            "real",
            "complex",
            "rational",
            "natural",
        ),
        *("positive", "negative", "nonnegative", "non-negative", "nonzero", "integer", "integers", "number", "numbers"),
        *("constant", "constants", "arbitrary", "fixed", "parameter", "parameters", "reals", "of", "values"),
    )
)
"""Words that only say what kind of number a letter is."""


def answer(tokens: list[Token]) -> tuple[Node, frozenset[str]]:
    """The answer that the tokens make up, and the letters that it says are whole numbers.

    Raises:
        UnreadableError: when they make up none.
        TooLargeError: when it is too deep or too long.
    """
    stream = Stream(tokens, statement=statement, product=product)
    groups: list[list[Node]] = [[]]
    joined: set[str] = set()
    while True:
        if any(groups) and _at_qualifier(stream):
            return _conditional(stream, _joined([one for one in groups if one], joined)), frozenset(stream.integers)
        part = statement(stream)
        if not _is_membership(stream, part, alone=not groups[0]):
            groups[-1].append(part)
        if sum(map(len, groups)) > MOST_ITEMS:
            raise TooLargeError
        if stream.at("end"):
            break
        if stream.accept("op", ";"):
            groups.append([])
        elif stream.at("conn"):
            joined.add(stream.take().text)
        elif not stream.accept("op", ",") and not stream.condition_follows():
            raise UnreadableError
        if stream.at("conn"):
            joined.add(stream.take().text)
        if stream.at("end"):
            raise UnreadableError
    return _joined([one for one in groups if one], joined), frozenset(stream.integers)


def _conditional(stream: Stream, body: Node) -> Node:
    """The answer with the conditions behind "where", those left out that only say what kind of number a letter is."""
    conditions: list[Node] = []
    _skip_fill(stream)
    while not stream.at("end"):
        one = statement(stream)
        if not _says_little(stream, one):
            conditions.append(one)
        _skip_fill(stream)
        if not (stream.accept("op", ",", ";") or (stream.at("conn") and stream.take())) and not stream.at("end"):
            raise UnreadableError
        _skip_fill(stream)
    return Quantified("where", Group(tuple(conditions)), body) if conditions else body


def _at_qualifier(stream: Stream) -> bool:
    return stream.at("words") and stream.peek().text.casefold().split()[0] in _QUALIFIERS


def _skip_fill(stream: Stream) -> None:
    """Passes words that only say what kind of number a letter is, and notes a whole number."""
    whole = False
    while stream.at("words") and set(stream.peek().text.casefold().split()) <= _FILL:
        whole = "integer" in stream.take().text.casefold() or whole
    if whole and stream.at("sym"):
        stream.integers.add(stream.peek().text)


def _joined(groups: list[list[Node]], joined: set[str]) -> Node:
    if len(groups) > 1:
        return Group(tuple(one[0] if len(one) == 1 else Group(tuple(one)) for one in groups))
    parts = groups[0]
    if len(parts) == 1:
        return parts[0]
    if len(joined) == 1 and all(isinstance(one, Relation) for one in parts) and any(map(_states, parts)):
        return Logic(joined.pop(), tuple(parts))
    return Group(tuple(parts))


def _states(node: Node) -> bool:
    return isinstance(node, Relation) and node.ops != ("=",)


def _is_membership(stream: Stream, node: Node, *, alone: bool) -> bool:
    """Whether this only says what kind of number a letter of what went before is; whole numbers are noted."""
    if not isinstance(node, Relation) or node.ops != ("in",) or not _number_set(node.parts[1]):
        return False
    name = node.parts[0]
    if isinstance(name, Sym) and isinstance(node.parts[1], Sym) and node.parts[1].name[4] in "ZN":
        stream.integers.add(name.name)
    return not alone


def _number_set(node: Node) -> bool:
    return isinstance(node, Sym) and node.name.startswith("set ") and node.name[4:5] in NUMBER_SETS


def statement(stream: Stream) -> Node:
    """One relation or expression, with what qualifies it.

    Raises:
        UnreadableError: when none begins here.
    """
    stream.deeper()
    try:
        if stream.at("cmd", "forall", "exists"):
            return _quantified(stream)
        body = _relation(stream)
        if _at_qualifier(stream) and not isinstance(body, Words):
            return _qualified(stream, body)
        return body
    finally:
        stream.back()


def _relation(stream: Stream) -> Node:
    parts, ops = [expression(stream)], list[str]()
    while stream.peek().kind == "rel":
        if stream.peek().text == "|" and stream.builders:
            break
        ops.append(stream.take().text)
        parts.append(expression(stream))
    modulus = _modulus(stream)
    if modulus is not None:
        parts[-1] = Call("pmod", (parts[-1], modulus))
    return Relation(tuple(parts), tuple(ops)) if ops else parts[0]


def _modulus(stream: Stream) -> Node | None:
    if stream.accept("cmd", "pmod"):
        return expression(stream)
    if stream.peek()[:2] == ("open", "(") and stream.peek(1).text in ("mod", "pmod"):
        stream.take()
        stream.take()
        modulus = expression(stream)
        stream.expect("close", ")")
        return modulus
    return None


def _quantified(stream: Stream) -> Node:
    kind = stream.take().text
    condition = _relation(stream)
    while not (stream.accept("op", ",", ":") or stream.accept("rel", "|")):
        if stream.at("end") or stream.at("close"):
            raise UnreadableError
        break
    body = statement(stream)
    return body if kind == "forall" and _says_little(stream, condition) else Quantified(kind, condition, body)


def _qualified(stream: Stream, body: Node) -> Node:
    word = stream.peek().text.casefold().split()[0]
    _skip_fill(stream)
    if _at_qualifier(stream):  # with words that say more
        raise UnreadableError
    if stream.at("end"):
        return body
    condition = _relation(stream)
    _skip_fill(stream)
    return body if _says_little(stream, condition) else Quantified(word, condition, body)


def _says_little(stream: Stream, condition: Node) -> bool:
    """Whether a condition only names a letter, or says that it is a number of some kind."""
    return isinstance(condition, Sym) or _is_membership(stream, condition, alone=False)
