import json
from pathlib import Path

import pytest

from lydite_code import admit_stdio, admit_tests

EXAMPLES = Path(__file__).parent.parent / "examples"
TESTS = ["assert f(1) == 2", "assert f(3) == 4"]
GOLD = "def f(x):\n    return x + 1"


def test_a_task_that_holds(sandbox):
    assert admit_tests(TESTS, GOLD, options={"sandbox": sandbox}) == ""
    cases = [{"stdin": "1", "stdout": "2"}, {"stdin": "3", "stdout": "4"}]
    assert admit_stdio(cases, "print(int(input()) + 1)", options={"sandbox": sandbox}) == ""


@pytest.mark.parametrize(
    ("tests", "gold", "objection"),
    [
        (TESTS, "def f(x):\n    return 2", "does not pass (code.some_failed): 2 (case.wrong)"),
        (TESTS, "def f(x", "does not pass (code.syntax)"),
        (["assert f(1) == 2"], GOLD, "tests.weak; a function that always returns 2"),
        (["assert f(1) == 1", "assert f(2) == 2"], "def f(x): return x", "tests.weak"),
        ([], GOLD, "tests.missing"),
    ],
)
def test_tasks_that_do_not(tests, gold, objection, sandbox):
    assert objection in admit_tests(tests, gold, options={"sandbox": sandbox})


def test_cases_that_an_idle_program_passes(sandbox):
    cases = [{"stdin": "1", "stdout": ""}, {"stdin": "2", "stdout": "x"}]
    gold = "if int(input()) == 2:\n    print('x')"
    assert "earns something" in admit_stdio(cases, gold, options={"sandbox": sandbox})
    assert admit_stdio(cases, gold, options={"sandbox": sandbox, "scoring": "all"}) == ""


def test_a_program_with_fences_in_it(sandbox):
    gold = 'def f(x):\n    """\n```python\nf(1)\n```\n    """\n    return x + 1'
    assert admit_tests(TESTS, gold, options={"sandbox": sandbox}) == ""


def test_the_examples_are_admitted(bubblewrap):
    functions = [json.loads(line) for line in (EXAMPLES / "functions.jsonl").read_text().splitlines()]
    scripts = [json.loads(line) for line in (EXAMPLES / "scripts.jsonl").read_text().splitlines()]
    assert [admit_tests(one["tests"], one["reference"]) for one in functions] == [""] * len(functions)
    for one in scripts:
        assert admit_stdio(one["cases"], one["reference"], options={"scoring": "all"}) == "", one["id"]
