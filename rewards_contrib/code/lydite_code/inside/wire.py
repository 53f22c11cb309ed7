"""Plain values as tagged JSON: the only form in which anything gets into a sandbox or out of it.

Types are told apart and nothing but plain data exists, so an object that claims to equal everything has no form here:
it arrives as the name of its type, which equals nothing. None, bools, texts and small whole numbers stand for
themselves; everything else is a list whose first item is a tag:

    ["i", "-1f"]           a large int, in hexadecimal        ["l", ...]           a list
    ["f", "0x1.8p+0"]      a float, exactly                   ["t", ...]           a tuple
    ["c", real, imag]      a complex number, as two floats    ["s", ...]           a set or frozenset
    ["b", "00ff"]          bytes                              ["d", [k, v], ...]   a dict, in order
    ["o", "Name"]          any other object, by its type
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes long to import
if TYPE_CHECKING:
    from typing import Any

DEEPEST = 64
"""Levels of nesting; deeper values, and those that hold themselves, have no form."""
MOST_ITEMS = 200_000
"""Values within a value."""
SMALL = 2**53
"""Whole numbers below this stand for themselves."""


class NoForm(ValueError):  # noqa: N818 - says what the value lacks
    """The value is too deep or too large to be written."""


def encode(value: Any) -> Any:
    """The value in tagged form, ready for `json.dumps`.

    A value of a subclass is written as the plain type beneath it, whatever its own methods say.

    Raises:
        NoForm: beyond `DEEPEST` levels or `MOST_ITEMS` values.
    """
    left = [MOST_ITEMS]
    return _encoded(value, 0, left)


def decode(form: Any) -> Any:
    """The value of a tagged form that `encode` gave. For forms from a trusted hand only.

    Raises:
        ValueError: on an unknown tag.
    """
    if not isinstance(form, list):
        return form
    tag, items = form[0], form[1:]
    if tag == "d":
        return {decode(key): decode(value) for key, value in items}
    if tag == "i":
        return int(items[0], 16)
    if tag == "f":
        return float.fromhex(items[0])
    if tag == "c":
        return complex(float.fromhex(items[0]), float.fromhex(items[1]))
    if tag == "b":
        return bytes.fromhex(items[0])
    if tag not in ("l", "t", "s"):
        raise ValueError(f"a value is tagged {tag!r}, which is none of the tags of a plain value")
    inside = [decode(one) for one in items]
    return inside if tag == "l" else tuple(inside) if tag == "t" else frozenset(inside)


def _encoded(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if depth > DEEPEST or left[0] < 0:
        raise NoForm(f"a value of more than {DEEPEST} levels or {MOST_ITEMS} parts")
    kind = type(value)  # never value.__class__, which an object may lie about
    if value is None or kind is bool:
        return value
    if issubclass(kind, int):
        number = int.__add__(value, 0)
        return number if -SMALL < number < SMALL else ["i", hex(number)]
    if issubclass(kind, float):
        return ["f", float.hex(value)]
    if issubclass(kind, str):
        return value if kind is str else "".join(str.__iter__(value))
    if issubclass(kind, complex):
        plain = complex.__pos__(value)
        return ["c", plain.real.hex(), plain.imag.hex()]
    if issubclass(kind, bytes):
        return ["b", bytes.hex(value)]
    for base, tag in ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "s")):
        if issubclass(kind, base):
            return [tag, *(_encoded(one, depth + 1, left) for one in base.__iter__(value))]
    if issubclass(kind, dict):
        pairs = dict.items(value)
        return ["d", *([_encoded(key, depth + 1, left), _encoded(one, depth + 1, left)] for key, one in pairs)]
    return ["o", kind.__name__[:80]]
