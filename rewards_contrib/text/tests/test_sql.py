"""Queries: equal by what they give and by what they say, and able to do nothing but read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Status
from lydite_text import sql

DATABASE = "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'x');"
WANTED = "SELECT a FROM t WHERE b = 'x'"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT a FROM t WHERE b IN ('x')", "sql.same_rows"),
        ("SELECT a FROM t WHERE b = 'y'", "sql.other_rows"),
        ("SELECT a FROM t", "sql.other_rows"),
        ("SELECT a, b FROM t WHERE b = 'x'", "sql.other_rows"),
        ("SELECT nothing FROM t", "sql.refused"),
        ("INSERT INTO t VALUES (9, 'z')", "sql.not_a_select"),
        ("SELECT 1; SELECT 2", "sql.several"),
        ("not a query at all", "sql.unreadable"),
        ("(" * 200 + "SELECT 1" + ")" * 200, "sql.unreadable"),
    ],
)
def test_by_execution(query: str, reason: str) -> None:
    verdict = sql(query, WANTED, DATABASE)
    assert verdict.reason == reason or (reason == "sql.unreadable" and verdict.reason == "sql.not_a_select")
    assert verdict.passed == (reason == "sql.same_rows")


@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x",
        "SELECT writefile('/tmp/lydite-was-here', 'x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT load_extension('x')",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM sqlite_dbpage",
        "SELECT hex(zeroblob(1000000000))",
        "SELECT printf('%999999999d', 1)",
    ],
)
def test_it_reads_and_does_nothing_else(query: str) -> None:
    verdict = sql(query, WANTED, DATABASE)
    assert verdict.score == 0.0
    assert verdict.status is Status.OK


def test_what_never_ends_is_cut_off() -> None:
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT SUM(n) FROM c"
    began = time.perf_counter()
    assert sql(endless, WANTED, DATABASE, seconds=0.2).reason == "sql.slow"
    many = "SELECT x.a FROM t x, t y, t z, t u, t v, t w, t p, t q, t r, t s"
    assert sql(many, WANTED, DATABASE, seconds=0.5).reason in ("sql.slow", "sql.other_rows")
    assert time.perf_counter() - began < 4


def test_order_counts_where_the_reference_sorts() -> None:
    down, up = "SELECT a FROM t ORDER BY a DESC", "SELECT a FROM t ORDER BY a"
    assert not sql(up, down, DATABASE).passed
    assert sql(up, "SELECT a FROM t", DATABASE).passed
    assert sql(up, down, DATABASE, ordered="never").passed
    assert not sql(down, "SELECT a FROM t", DATABASE, ordered="always").passed


def test_a_second_database_catches_what_is_right_by_luck() -> None:
    lucky = "SELECT a FROM t WHERE a <> 2"
    other = DATABASE.replace("(3, 'x')", "(3, 'y')")
    assert sql(lucky, WANTED, DATABASE).passed
    assert not sql(lucky, WANTED, [DATABASE, other]).passed


def test_types_tell_apart_what_text_does_not() -> None:
    assert not sql("SELECT '1'", "SELECT 1", DATABASE).passed
    assert sql("SELECT 1.0", "SELECT 1", DATABASE).passed
    assert not sql("SELECT NULL", "SELECT 0", DATABASE).passed


@pytest.mark.parametrize(
    ("setup", "reference", "reason"),
    [
        ("CREATE TABLE", WANTED, "setup.refused"),
        (DATABASE, "SELECT a FROM nowhere", "setup.refused"),
        (DATABASE, "DROP TABLE t", "reference.not_a_select"),
        (DATABASE, "SELECT a FROM t WHERE b = 'none'", "setup.no_rows"),
        (DATABASE, "  ", "reference.empty"),
    ],
)
def test_faults_of_the_sample_are_the_prompts(setup: str, reference: str, reason: str) -> None:
    verdict = sql("SELECT a FROM t WHERE b = 'none'", reference, setup)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", reason)


names = st.sampled_from(["a", "b", "c"])
conditions = st.lists(st.tuples(names, st.sampled_from(["=", "<", ">="]), st.integers(0, 9)), min_size=1, max_size=4)


@given(conditions, st.randoms())
def test_by_structure_the_order_of_and_and_the_case_do_not_matter(
    parts: list[tuple[str, str, int]], dice: object
) -> None:
    written = [f"{name} {sign} {value}" for name, sign, value in parts]
    shuffled = list(written)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    reference = f"SELECT a FROM t WHERE {' AND '.join(written)}"
    assert sql(f"select T.a from T where {' and '.join(shuffled)}", reference).passed


@pytest.mark.parametrize(
    ("query", "reference"),
    [
        ("SELECT a FROM t WHERE a > 1", "SELECT a FROM t WHERE a >= 1"),
        ("SELECT a FROM t", "SELECT b FROM t"),
        ("SELECT a, b FROM t", "SELECT b, a FROM t"),
        ("SELECT a FROM t WHERE a = 1 OR b = 2", "SELECT a FROM t WHERE a = 1 AND b = 2"),
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t"),
        ("SELECT x.a FROM t x JOIN t y ON x.a = y.b", "SELECT y.a FROM t x JOIN t y ON x.a = y.b"),
        ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"),
        ("SELECT a FROM t WHERE b = 'X'", "SELECT a FROM t WHERE b = 'x'"),
        ("SELECT a - b FROM t", "SELECT b - a FROM t"),
    ],
)
def test_by_structure_what_matters_matters(query: str, reference: str) -> None:
    assert not sql(query, reference).passed
    assert sql(reference, reference).passed
