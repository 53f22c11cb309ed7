"""Reads what stands in brackets: lists, tuples, sets, intervals, absolute values."""

from __future__ import annotations

from lydite_math.limits import MOST_ITEMS, TooLargeError
from lydite_math.stream import Stream
from lydite_math.tokens import UnreadableError
from lydite_math.tree import Builder, Call, Group, Logic, Node


def items(stream: Stream) -> tuple[list[Node], str]:
    """Statements up to a closing bracket, which is passed, and that bracket; commas or semicolons separate them."""
    found: list[Node] = []
    while not stream.at("close"):
        found.append(stream.statement(stream))
        if len(found) > MOST_ITEMS:
            raise TooLargeError
        if stream.accept("op", ",", ";"):
            stream.accept("conn")
            continue
        if stream.at("conn") and not isinstance(found[-1], Logic):
            stream.take()
            continue
        if not stream.at("close"):
            break
    if stream.at("open", "[") and stream.peek(1).kind in ("end", "cmd", "close"):
        return found, "[" if stream.take() else ""
    return found, stream.expect("close").text


def bracket(stream: Stream, left: str) -> Node:
    """What stands in the bracket that was opened: one thing, or several as a `Group`."""
    if left in ("{", "g"):
        return _braces(stream, left)
    bars, stream.bars = stream.bars, 0
    builders, stream.builders = stream.builders, 0
    found, right = items(stream)
    stream.bars, stream.builders = bars, builders
    if left in ("f", "c"):
        if right != left or len(found) != 1:
            raise UnreadableError
        return Call("floor" if left == "f" else "ceil", (found[0],))
    if left == "<":
        return Group(tuple(found), "<", ">")
    if right == "[":
        right = ")"
    if right not in (")", "]") or not found:
        raise UnreadableError
    if len(found) == 1 and not isinstance(found[0], Logic):
        if (left, right) in (("(", ")"), ("[", "]")):
            return found[0]
        raise UnreadableError
    return Group(tuple(found), left, right)


def french(stream: Stream) -> Node:
    """An interval such as `]a, b[` or `]a, b]`."""
    found: list[Node] = [stream.statement(stream)]
    if not stream.accept("op", ",", ";"):
        raise UnreadableError
    found.append(stream.statement(stream))
    if stream.accept("open", "["):
        return Group(tuple(found), "(", ")")
    return Group(tuple(found), "(", stream.expect("close", "]", ")").text)


def _braces(stream: Stream, left: str) -> Node:
    bars, stream.bars = stream.bars, 0
    stream.builders += 1
    found: list[Node] = []
    if not stream.at("close"):
        first = stream.statement(stream)
        if stream.accept("op", "|", ":") or stream.accept("rel", "|"):
            stream.builders -= 1
            rule = condition(stream)
            stream.builders += 1
            stream.expect("close")
            stream.bars, stream.builders = bars, stream.builders - 1
            return Builder(first, rule)
        stream.accept("op", ",", ";")
        stream.accept("conn")
        stream.builders -= 1
        rest, _ = items(stream)
        stream.builders += 1
        found = [first, *rest]
    else:
        stream.take()
    stream.bars, stream.builders = bars, stream.builders - 1
    if left == "g":
        if not found:
            raise UnreadableError
        return found[0] if len(found) == 1 else Group(tuple(found), "{", "}")
    return Group(tuple(found), "{", "}")


def condition(stream: Stream) -> Node:
    """The statements behind the bar of a set-builder, up to its brace."""
    parts = [stream.statement(stream)]
    op = ""
    while stream.at("conn") or stream.at("op", ",", ";"):
        joined = stream.take().text
        if joined in (",", ";"):
            joined = stream.take().text if stream.at("conn") else "and"
        if op and joined != op:
            raise UnreadableError
        op = joined
        parts.append(stream.statement(stream))
    return parts[0] if len(parts) == 1 else Logic(op, tuple(parts))


def absolute(stream: Stream) -> Node:
    """The absolute value or norm behind a bar that was passed."""
    doubled = stream.accept("op", "|")
    stream.bars += 1
    inside = stream.statement(stream)
    stream.bars -= 1
    stream.expect("op", "|")
    if doubled:
        stream.expect("op", "|")
    return Call("norm" if doubled else "abs", (inside,))
