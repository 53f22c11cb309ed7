"""Queries as trees: is it one SELECT, and do two of them say the same?"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.simplify import simplify

Fault: TypeAlias = Literal["unreadable", "several", "not_a_select"]
DEEPEST: Final = 60
"""Brackets in each other; more are no query that somebody meant."""

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it does not know, which a model writes a lot


def single_select(text: str, dialect: str) -> exp.Query | Fault:
    """The one query that the text is (SELECT, WITH or a UNION of them), or what is wrong with it.

    Raises:
        ValueError: on a dialect that is not known.
    """
    depth = deepest = 0
    for one in text:
        depth += {"(": 1, ")": -1}.get(one, 0)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        return "unreadable"
    try:
        statements = [one for one in sqlglot.parse(text, read=dialect) if one is not None]
    except (SqlglotError, RecursionError):
        return "unreadable"
    if len(statements) != 1:
        return "several" if statements else "unreadable"
    (statement,) = statements
    return statement if isinstance(statement, exp.Query) else "not_a_select"


def same_query(one: exp.Query, other: exp.Query, dialect: str) -> bool:
    """Whether two queries are the same once what does not matter is made alike.

    Case and quotes of names, aliases of tables and of columns that nothing else uses, sides of =, order within AND,
    OR and IN, parentheses, and comparisons that are turned round.
    """
    return _canonical(one, dialect) == _canonical(other, dialect)


def _canonical(query: exp.Query, dialect: str) -> str:
    tree: exp.Expr = query.copy()
    for name in tree.find_all(exp.Identifier):
        name.set("this", str(name.this).lower())
        name.set("quoted", False)
    _rename_tables(tree)
    _drop_outer_aliases(tree)
    tree = tree.transform(_turned)
    with suppress(SqlglotError, RecursionError):
        tree = simplify(tree, dialect=dialect)
    tree = tree.transform(_sorted)
    return tree.sql(dialect=dialect, normalize=True, comments=False)


def _rename_tables(tree: exp.Expr) -> None:
    """Aliases of tables become the tables' names, and where only one table is read its name is left out."""
    for select in tree.find_all(exp.Select):
        tables = [one for one in select.find_all(exp.Table) if one.find_ancestor(exp.Select) is select]
        names = [one.name for one in tables]
        if len(set(names)) < len(names):
            continue  # a table joined with itself needs its aliases
        aliases = {one.alias_or_name: one.name for one in tables}
        for column in select.find_all(exp.Column):
            if column.table in aliases:
                only = len(tables) == 1 and column.find_ancestor(exp.Select) is select
                column.set("table", None if only else exp.to_identifier(aliases[column.table]))
        for table in tables:
            table.set("alias", None)


def _drop_outer_aliases(tree: exp.Expr) -> None:
    """`SELECT a AS b` gives the rows of `SELECT a`; the name is dropped where nothing sorts or groups by it."""
    if not isinstance(tree, exp.Select):
        return
    used = {
        column.name
        for key in ("order", "group", "having")
        if tree.args.get(key) is not None
        for column in tree.args[key].find_all(exp.Column)
        if not column.table
    }
    tree.set(
        "expressions",
        [one.this if isinstance(one, exp.Alias) and one.alias not in used else one for one in tree.expressions],
    )


def _turned(node: exp.Expr) -> exp.Expr:
    """`a > b` as `b < a`, and parentheses around a name or a value away."""
    if isinstance(node, exp.GT):
        return exp.LT(this=node.expression, expression=node.this)
    if isinstance(node, exp.GTE):
        return exp.LTE(this=node.expression, expression=node.this)
    if isinstance(node, exp.Paren) and isinstance(node.this, exp.Column | exp.Literal | exp.Paren):
        return node.this
    return node


def _sorted(node: exp.Expr) -> exp.Expr:
    """What commutes, in the order of its text."""
    if isinstance(node, exp.And | exp.Or):
        parts = sorted((one.copy() for one in node.flatten()), key=lambda one: one.sql(comments=False))
        combined = parts[0]
        for part in parts[1:]:
            combined = type(node)(this=combined, expression=part)
        return combined
    if isinstance(node, exp.EQ | exp.NEQ) and node.expression.sql() < node.this.sql():
        return type(node)(this=node.expression, expression=node.this)
    if isinstance(node, exp.In) and node.expressions:
        node.set("expressions", sorted(node.expressions, key=lambda one: one.sql()))
    return node
