"""Whether two answers that have been read are the same."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from lydite_math.conditions import solved
from lydite_math.congruences import is_congruence, same_residues
from lydite_math.formulas import same_formula
from lydite_math.lists import expanded, is_list, same_list
from lydite_math.matrices import entries, has_matrix, rows_of
from lydite_math.parameters import renamed
from lydite_math.quantities import is_marked, same_quantity
from lydite_math.read import Answer, Reading
from lydite_math.regions import region, subject, surely_region
from lydite_math.relations import (
    in_argument_of,
    named,
    names_value,
    same_arguments,
    same_congruence,
    same_equation,
    same_inequality,
    solves_for_some,
    with_constants_of,
)
from lydite_math.rules import Rules
from lydite_math.same_regions import same_region
from lydite_math.tree import (
    Based,
    Builder,
    Group,
    Logic,
    Node,
    Num,
    Quantified,
    Quantity,
    Ratio,
    Relation,
    SetOp,
    Sym,
    Words,
    replaced,
    symbols,
)
from lydite_math.vectors import as_tuples
from lydite_math.wording import same_polarity, same_words

_CHOICES: Final = re.compile(r"(?:\\text\s?\{)?[A-H](?:[\s,;]{0,4}(?:and)?[\s,;]{0,2}[A-H]){1,7}\}?")


def same_answer(gold: Answer, given: Answer, rules: Rules) -> bool:
    """Whether two answers mean the same in some reading of each; what is not read is compared as written.

    Raises:
        TooLargeError: when comparing them would cost too much.
    """
    if gold.text.strip() == given.text.strip() or gold.plain == given.plain != "":
        return True
    if _choices(gold.text) and _choices(gold.text) == _choices(given.text):
        return True
    if same_polarity(gold.plain, given.plain):
        return True
    if not gold.readings or not given.readings:
        return same_words(gold.plain, given.plain)
    measures = [
        (one, other)
        for one, other in ((gold.readings[0], given.measured), (gold.measured, given.readings[0]))
        if one is not None and other is not None and _measures(one) and _measures(other)
    ]
    if any(same(one.node, other.node, rules) for one, other in measures):
        return True
    for one in gold.readings:
        for other in given.readings:
            within = replace(rules, integers=one.integers)
            if any(same(one.node, node, within) for node in renamed(one, other)):
                return True
    return False


def _choices(text: str) -> tuple[str, ...]:
    """The letters of a multiple choice of several: `B, D`, `BD`."""
    if _CHOICES.fullmatch(text.strip()) is None:
        return ()
    letters = sorted(re.findall("[A-H]", text))
    return tuple(letters) if len(set(letters)) == len(letters) > 1 else ()


def _measures(reading: Reading) -> bool:
    return isinstance(reading.node, Quantity) and not reading.node.unit.noun


def same(gold: Node, given: Node, rules: Rules) -> bool:
    """Whether two nodes mean the same."""
    if gold == given:
        return True
    gold, given = solved(_bare(gold)), solved(_bare(given))
    if isinstance(gold, Quantified) or isinstance(given, Quantified):
        return _same_quantified(gold, given, rules)
    if is_congruence(gold) or is_congruence(given):
        residues = same_residues(gold, given, rules)
        if residues is not None:
            return residues
    if surely_region(gold) or surely_region(given):
        return _same_set(gold, given, rules)
    gold, given = as_tuples(gold, given)
    if has_matrix(gold) or has_matrix(given):
        return _same_matrix(gold, given, rules)
    if isinstance(gold, Relation) or isinstance(given, Relation):
        return _same_relation(gold, given, rules)
    gold, given = expanded(gold), expanded(given)
    if is_list(gold) or is_list(given):
        return same_list(gold, given, rules, same)
    if isinstance(gold, Ratio) or isinstance(given, Ratio):
        return _same_ratio(gold, given, rules)
    if isinstance(gold, Based) or isinstance(given, Based):
        return _same_based(gold, given)
    if is_marked(gold) or is_marked(given):
        return same_quantity(gold, given, rules)
    if isinstance(gold, Words) or isinstance(given, Words):
        return False
    return same_formula(gold, given, rules)


def _bare(node: Node) -> Node:
    """Without the braces of a set of one."""
    if isinstance(node, Group) and len(node.items) == 1:
        inner = node.items[0]
        return node if isinstance(inner, Group) and inner.left == "{" else inner
    return node


def _same_quantified(gold: Node, given: Node, rules: Rules) -> bool:
    return (
        isinstance(gold, Quantified)
        and isinstance(given, Quantified)
        and gold.kind == given.kind
        and same(gold.condition, given.condition, rules)
        and same(gold.body, given.body, rules)
    )


def _same_set(gold: Node, given: Node, rules: Rules) -> bool:
    if isinstance(gold, Relation) and isinstance(given, Relation) and gold.ops[0] == given.ops[0] == "notin":
        return same(gold.parts[0], given.parts[0], rules) and same(gold.parts[-1], given.parts[-1], rules)
    if (
        isinstance(gold, Relation | Logic)
        and isinstance(given, Relation | Logic)
        and not _same_subject(gold, given, rules)
    ):
        both = isinstance(gold, Relation) and isinstance(given, Relation)
        return both and same_inequality(gold, given, rules)  # type: ignore[arg-type]
    first, second = region(_unnamed(gold)), region(_unnamed(given))
    if first is not None and second is not None:
        return same_region(first, second, rules)
    if isinstance(gold, Relation) and isinstance(given, Relation):
        if gold.ops == given.ops == ("in",):
            return all(same(*pair, rules) for pair in zip(gold.parts, given.parts, strict=True))
        return same_inequality(gold, given, rules)
    if isinstance(gold, Relation) and gold.ops == ("in",):
        return same(gold.parts[1], given, rules)
    if isinstance(given, Relation) and given.ops == ("in",):
        return same(gold, given.parts[1], rules)
    if isinstance(gold, Builder) and isinstance(given, Builder):
        renamed = given.condition
        if isinstance(gold.variable, Sym) and isinstance(given.variable, Sym):
            renamed = replaced(renamed, given.variable.name, gold.variable)
        return same(gold.condition, _with_dummies_of(gold.condition, renamed), rules)
    if isinstance(gold, Builder) != isinstance(given, Builder):
        said = _condition(gold) if isinstance(gold, Builder) else gold
        answered = _condition(given) if isinstance(given, Builder) else given
        return said is not None and answered is not None and same(said, answered, rules)
    if isinstance(gold, SetOp) and isinstance(given, SetOp) and gold.op == given.op:
        return same(gold.left, given.left, rules) and same(gold.right, given.right, rules)
    if isinstance(gold, Logic) and isinstance(given, Logic) and gold.op == given.op:
        return same_list(Group(gold.parts), Group(given.parts), rules, same)
    return False


def _same_subject(gold: Node, given: Node, rules: Rules) -> bool:
    first, second = subject(gold), subject(given)
    return first == second or (first is not None and second is not None and same_formula(first, second, rules))


def _condition(node: Builder) -> Node | None:
    """What a set-builder says of its letter in one relation, apart from what kind of numbers there are."""
    parts = node.condition.parts if isinstance(node.condition, Logic) else (node.condition,)
    said = [one for one in parts if not (isinstance(one, Relation) and one.ops == ("in",))]
    return said[0] if len(said) == 1 and isinstance(node.variable, Sym) else None


def _with_dummies_of(gold: Node, given: Node) -> Node:
    """A condition with its whole-number letters named as the reference names its own."""
    for one, other in zip(_dummies(gold), _dummies(given), strict=False):
        if one not in symbols(given):
            given = replaced(given, other, Sym(one))
    return given


def _dummies(node: Node) -> list[str]:
    parts = node.parts if isinstance(node, Logic) else (node,)
    memberships = [one for one in parts if isinstance(one, Relation) and one.ops == ("in",)]
    return [one.parts[0].name for one in memberships if isinstance(one.parts[0], Sym)]


def _unnamed(node: Node) -> Node:
    """What an answer such as `S = (0, 1)` says about S."""
    found = named(node)
    return node if found is None else found[1]


def _same_matrix(gold: Node, given: Node, rules: Rules) -> bool:
    gold, given = _unnamed(gold), _unnamed(given)
    first, second = rows_of(gold), rows_of(given)
    if first is not None and second is not None:
        if len(first) != len(second) or len(first[0]) != len(second[0]):
            return False
        pairs = zip((e for row in first for e in row), (e for row in second for e in row), strict=True)
        return all(same(*pair, rules) for pair in pairs)
    rows, other = (first, given) if first is not None else (second, gold)
    if rows is None:
        return False
    vector = entries(rows)
    if vector is None or not isinstance(other, Group) or other.left == "{" or len(other.items) != len(vector):
        return False
    return all(same(*pair, rules) for pair in zip(vector, other.items, strict=True))


def _same_relation(gold: Node, given: Node, rules: Rules) -> bool:
    first, second = named(gold), named(given)
    if isinstance(gold, Relation) and isinstance(given, Relation):
        if first is not None and second is not None:
            value = same_arguments(first[0], second[0], second[1])
            if value is not None and any(
                same(first[1], one, rules) for one in with_constants_of(first[0], first[1], value)
            ):
                return True
        if gold.ops == given.ops == ("==",):
            return same_congruence(gold, given, rules)
        return same_equation(gold, given, rules)
    if isinstance(gold, Relation):
        if first is not None and names_value(*first):
            return same(first[1], in_argument_of(first[0], first[1], given), rules)
        # A reference `x + y = 5` is an equation: 5 alone is not what it asks for.
        return solves_for_some(gold, given, rules)
    if second is not None:
        return same(gold, second[1], rules)
    return isinstance(given, Relation) and solves_for_some(given, gold, rules)


def _same_ratio(gold: Node, given: Node, rules: Rules) -> bool:
    if isinstance(gold, Ratio) and isinstance(given, Ratio):
        if len(gold.parts) != len(given.parts):
            return False
        return all(
            same_formula(Ratio((gold.parts[0], one)), Ratio((given.parts[0], other)), rules)
            for one, other in zip(gold.parts[1:], given.parts[1:], strict=True)
        )
    return same_formula(gold, given, rules)


def _same_based(gold: Node, given: Node) -> bool:
    if isinstance(gold, Based) and isinstance(given, Based):
        return _int(gold) is not None and _int(gold) == _int(given)
    if isinstance(gold, Based):
        return isinstance(given, Num) and str(given.value) == gold.digits
    return isinstance(gold, Num) and isinstance(given, Based) and _int(given) == gold.value


def _int(number: Based) -> int | None:
    try:
        return int(number.digits, number.base)
    except ValueError:
        return None
