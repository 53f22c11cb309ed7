"""Several answers: bare lists, sets, tuples, and signs that stand for two."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from lydite_math.exact import number_of
from lydite_math.limits import MOST_ITEMS, TooLargeError
from lydite_math.relations import named
from lydite_math.rules import Rules
from lydite_math.tree import SIGN, Group, Node, Num, Relation, Sym, replaced, walk

Same: TypeAlias = Callable[[Node, Node, Rules], bool]


def expanded(node: Node) -> Node:
    """The node with every plus-minus written out as two answers, and lists of lists without brackets joined."""
    if isinstance(node, Group) and node.left in ("", "{"):
        items: list[Node] = []
        for one in node.items:
            inner = expanded(one)
            items.extend(
                inner.items if isinstance(inner, Group) and inner.left == "" and SIGN in walk(one) else (inner,)
            )
            if len(items) > MOST_ITEMS:
                raise TooLargeError
        return Group(tuple(items), node.left, node.right)
    if SIGN not in walk(node):
        return node
    return Group((_with_sign(node, 1), _with_sign(node, -1)))


def _with_sign(node: Node, sign: int) -> Node:
    return replaced(node, SIGN.name, Num(Fraction(sign)))


def is_list(node: Node) -> bool:
    """Whether the node is several things."""
    return isinstance(node, Group)


def same_list(gold: Node, given: Node, rules: Rules, same: Same) -> bool:
    """Whether two lists hold the same: in order where an order is written, else in any."""
    if not isinstance(gold, Group) or not isinstance(given, Group):
        return False
    if "{" in (gold.left, given.left):
        if gold.left not in ("", "{") or given.left not in ("", "{"):
            return False
        return _unordered(_distinct(gold, rules), _distinct(given, rules), rules, same)
    if len(gold.items) != len(given.items):
        return False
    if gold.left and given.left:
        if len(gold.items) == 2 and _brackets(gold) != _brackets(given):
            return False
        return _in_order(gold.items, given.items, rules, same)
    if gold.left or given.left:
        bracketed = gold if gold.left else given
        if len(gold.items) == 2 and _brackets(bracketed) != "()":
            return False
        return _in_order(_values(gold), _values(given), rules, same) or _by_letter(gold, given, rules, same)
    return _same_bare(gold, given, rules, same)


def _same_bare(gold: Group, given: Group, rules: Rules, same: Same) -> bool:
    names, theirs = _names(gold), _names(given)
    if names is not None and theirs is not None and set(names) == set(theirs):
        return all(same(names[one], theirs[one], rules) for one in names)
    if names is not None and theirs is not None and all(isinstance(one, Sym) for one in (*names, *theirs)):
        return False
    if rules.ordered or _fixes_order(names):
        return _in_order(_values(gold), _values(given), rules, same) or (
            not rules.ordered and _by_letter(gold, given, rules, same)
        )
    return _unordered(gold.items, given.items if theirs is None else _values(given), rules, same)


def _by_letter(gold: Group, given: Group, rules: Rules, same: Same) -> bool:
    """Whether values with names, in the order of their names, are the values without."""
    sides = []
    for group, other in ((gold, given), (given, gold)):
        names, unnamed = _names(group), _names(other)
        if names is None or unnamed is not None or not all(isinstance(one, Sym) for one in names):
            sides.append(_values(group))
            continue
        sides.append(tuple(names[one] for one in sorted(names, key=lambda one: getattr(one, "name", ""))))
    return _in_order(sides[0], sides[1], rules, same)


def _brackets(group: Group) -> str:
    return "()" if group.left == "<" else group.left + group.right


def _names(group: Group) -> dict[Node, Node] | None:
    """Values by their names, when every item has one of its own."""
    found: dict[Node, Node] = {}
    for one in group.items:
        pair = named(one)
        if pair is None or pair[0] is None or pair[0] in found:
            return None
        found[pair[0]] = pair[1]
    return found


def _fixes_order(names: dict[Node, Node] | None) -> bool:
    """Whether names say which value is which; subscripts of one letter only count."""
    if names is None:
        return False
    letters = {one.name.split("_")[0] for one in names if isinstance(one, Sym)}
    return len(letters) > 1 or any(not isinstance(one, Sym) for one in names)


def _values(group: Group) -> tuple[Node, ...]:
    values = []
    for one in group.items:
        pair = named(one) if isinstance(one, Relation) else None
        values.append(one if pair is None else pair[1])
    return tuple(values)


def _in_order(gold: tuple[Node, ...], given: tuple[Node, ...], rules: Rules, same: Same) -> bool:
    return len(gold) == len(given) and all(same(*pair, rules) for pair in zip(gold, given, strict=True))


def _distinct(group: Group, rules: Rules) -> tuple[Node, ...]:
    """The elements of a set, each once; a bare list beside a set keeps what it repeats."""
    if group.left != "{":
        return group.items
    kept: dict[object, Node] = {}
    for one in group.items:
        number = number_of(one, rules.budget)
        kept.setdefault(one if number is None else number, one)
    return tuple(kept.values())


def _unordered(gold: tuple[Node, ...], given: tuple[Node, ...], rules: Rules, same: Same) -> bool:
    if len(gold) != len(given):
        return False
    left = list(given)
    unmatched = []
    for one in gold:  # those written alike first: cheap, and what remains is short
        if one in left:
            left.remove(one)
        else:
            unmatched.append(one)
    for one in unmatched:
        place = next((place for place, other in enumerate(left) if same(one, other, rules)), None)
        if place is None:
            return False
        del left[place]
    return True
