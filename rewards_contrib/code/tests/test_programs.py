import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite_code.programs import LONGEST, find_program

PROGRAM = "def f(x):\n    return x\n"
FENCED = f"```python\n{PROGRAM}```"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        (FENCED, PROGRAM),
        (f"Here:\n\n{FENCED}\n\nIt works.", PROGRAM),
        (f"~~~py\n{PROGRAM}~~~", PROGRAM),
        (f"````Python title=x\n{PROGRAM}````", PROGRAM),
        (f"```\n{PROGRAM}```", PROGRAM),
        ("1. This:\n   ```python\n   def f(x):\n       return x\n   ```", PROGRAM),
        (f"```python\nx = 1\n```\nBetter:\n{FENCED}", PROGRAM),
        (f"{FENCED}\nOutput:\n```text\n3\n```", PROGRAM),
        (f"{FENCED}\nOutput:\n```\n3\n```", PROGRAM),
        (f"<think>```python\nx = 1\n```</think>{FENCED}", PROGRAM),
        (f"<think>hm</think><think>well</think>\n{FENCED}", PROGRAM),
        (PROGRAM, PROGRAM),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
        ("no program at all", "no program at all"),
    ],
)
def test_the_program_of_an_answer(answer, program):
    assert find_program(answer).program == program


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "code.missing"),
        (" \n\t", "code.missing"),
        ("```python\n```", "code.missing"),
        (f"{FENCED}\n```python\n\n```", "code.missing"),
        ("```bash\nls\n```", "code.missing"),
        (f"<think>{FENCED}</think>", "code.missing"),
        (f"<think>\n{FENCED}", "code.missing"),
        (f"```python\n{PROGRAM}", "code.unclosed"),
        (f"{FENCED}\n```python\n{PROGRAM}", "code.unclosed"),
        ("x" * (LONGEST + 1), "code.long"),
    ],
)
def test_answers_without_a_program(answer, reason):
    found = find_program(answer)
    assert (found.program, found.reason) == (None, reason)


def test_only_one_program_where_that_is_asked():
    two = f"```python\nx = 1\n```\n{FENCED}"
    assert find_program(two, only_one=True).reason == "code.several"
    assert find_program(f"{FENCED}\nagain\n{FENCED}", only_one=True).program == PROGRAM


@given(st.text(alphabet="`~ \n\tpython<think>/x\u2028\x00\ud800", max_size=300))
def test_any_text_is_read(answer):
    found = find_program(answer)
    assert (found.program is None) == bool(found.reason)


def test_hostile_lengths_take_no_time():
    for answer in ("`" * LONGEST, "```\n" * (LONGEST // 4), " " * LONGEST, "<think>" * (LONGEST // 7)):
        find_program(answer)
