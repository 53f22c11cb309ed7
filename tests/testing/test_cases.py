"""Case files: every broken line is named with what was expected, and nothing is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import ConfigError, DataError, UnknownNameError
from lydite.testing import ITEM_NAMES, check, read_cases

GOOD = '{"completion": "4", "expected": "pass", "reference": "4"}'


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_row_with_everything(tmp_path: Path) -> None:
    row = {
        "completion": "so 4", "expected": [0.5, 1], "reference": {"value": 4},
        "prompt": [{"role": "user", "content": "2+2"}], "answer": "4", "reasoning": "so", "options": {"a": 1},
        "columns": {"b": [2]}, "gold": True, "note": "n", "id": "x",
        "tokens": 7, "finish_reason": "length",
    }  # fmt: skip
    header = {
        "allow": {"two-answers": "because"},
        "options": {"c": 3},
        "timeout": 2,
        "pays_for": "form",
        "range": [0, 2],
    }
    file = read_cases(written(tmp_path, json.dumps(header), "", json.dumps(row)), known_items=ITEM_NAMES)
    (case,) = file.cases
    assert (case.completions, case.expected, case.line, case.id) == (("so 4",), ((0.5, 1.0),), 3, "x")
    assert case.prompt == ({"role": "user", "content": "2+2"},)
    assert (case.tokens, case.finish_reason, case.gold, case.grouped) == (7, "length", True, False)
    assert (dict(file.allow), dict(file.options), file.timeout) == ({"two-answers": "because"}, {"c": 3}, 2)
    assert (file.pays_for, file.range) == ("form", (0.0, 2.0))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected a JSON object such as"),
        ("[1]", "expected a JSON object such as"),
        ('"completion"', "expected a JSON object such as"),
        ('{"completion": "a"}', '`expected` is missing; it is "pass", "fail", "abstain", "error", a score, or'),
        ('{"completion": "a", "expected": "passs"}', "got 'passs'; did you mean 'pass'?"),
        ('{"completion": "a", "expected": true}', "`expected` is"),
        ('{"completion": "a", "expected": [1, 0]}', "`expected` is"),
        ('{"completion": "a", "expected": NaN}', "`expected` is"),
        ('{"completion": 4, "expected": "pass"}', "`completion` is a string, got int"),
        ('{"completions": "ab", "expected": ["pass"]}', "`completions` is a list of strings, got str"),
        ('{"completions": [], "expected": []}', "`completions` is a list of strings"),
        ('{"completions": ["a", "b"], "expected": "pass"}', "`expected` is a list of 2"),
        ('{"completion": "a", "completions": ["a"], "expected": "pass"}', "either `completion`"),
        ('{"completion": "a", "expected": "pass", "refrence": 1}', "no key 'refrence'; did you mean 'reference'?"),
        ('{"completion": "a", "expected": "pass", "options": []}', "`options` is a table, got list"),
        ('{"completion": "a", "expected": "pass", "answer": 4}', "`answer` is a string, got int"),
        ('{"completion": "a", "expected": "pass", "gold": "yes"}', "`gold` is true or false"),
        ('{"completion": "a", "expected": "fail", "gold": true}', "a row with `gold`"),
        ('{"completion": "a", "expected": "pass", "prompt": 4}', "`prompt` is a string or a list of messages"),
        ('{"completion": "a", "expected": "pass", "prompt": [{"role": "user"}]}', "`prompt` is a string or a list"),
        ('{"completion": "a", "expected": "pass", "tokens": 0}', "`tokens` is a whole number"),
        ('{"completion": "a", "expected": "pass", "finish_reason": "eos"}', '`finish_reason` is "stop" or "length"'),
        ('{"reference": "a", "expected": "pass"}', "a case has either `completion`"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path, GOOD, "", line, GOOD)
    with pytest.raises(DataError) as raised:
        read_cases(path)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"alow": {}}', "takes no key 'alow'; did you mean 'allow'?"),
        ('{"allow": {"two-answers": ""}}', "`allow` is a table of items and reasons"),
        ('{"allow": ["two-answers"]}', "`allow` is a table of items and reasons"),
        ('{"allow": {"two-answer": "why"}}', "no item is called so; did you mean 'two-answers'?"),
        ('{"options": 1}', "`options` is a table of options"),
        ('{"judge": 1}', "`judge` is a name"),
        ('{"timeout": 0}', "`timeout` is a number of seconds greater than 0"),
        ('{"pays_for": "both"}', '`pays_for` is "answer" or "form"'),
        ('{"range": [1, 1]}', "`range` is a list of two numbers"),
    ],
)
def test_a_broken_first_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=r"cases\.jsonl:1: ") as raised:
        read_cases(written(tmp_path, line, GOOD), known_items=ITEM_NAMES)
    assert said in str(raised.value)


def test_all_broken_lines_are_named_up_to_a_few(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        read_cases(written(tmp_path, GOOD, *["{"] * 9))
    lines = str(raised.value).splitlines()
    assert [line.split(":")[-0] for line in lines[:1]]
    assert len(lines) == 6
    assert lines[-1] == "and 4 more broken lines"


def test_no_file_no_case_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such case file"):
        read_cases(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no case"):
        read_cases(written(tmp_path, '{"allow": {}}', ""))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"completion": "\xe9", "expected": "pass"}\n')
    with pytest.raises(DataError, match=r"latin\.jsonl:1: .*UTF-8"):
        read_cases(path)
    with pytest.raises(DataError, match="the id 'a' stands at line 1 already"):
        read_cases(written(tmp_path, *['{"completion": "a", "expected": "pass", "id": "a"}'] * 2))


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3)),
        max_size=4,
    )
)
def test_any_object_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("any") / "cases.jsonl"
    path.write_text(f"{GOOD}\n{json.dumps(row)}\n")
    with pytest.raises(DataError, match=":2: "):
        read_cases(path)


def counted(text: str) -> float:
    raise AssertionError("nothing may be judged")


def test_nothing_is_judged_with_a_broken_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=":2:"):
        check(counted, cases=written(tmp_path, GOOD, "{"))
    with pytest.raises(ConfigError, match="has no option 'strict'"):
        check(
            counted, cases=written(tmp_path, GOOD, '{"completion": "a", "expected": "fail", "options": {"strict": 1}}')
        )


def test_names_that_nobody_offers(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    with pytest.raises(UnknownNameError, match="did you mean 'text/exact'"):
        check("text/exat", cases=path)
    with pytest.raises(UnknownNameError, match="did you mean 'plain'"):
        check("text/exact", cases=path, format="plian")
    with pytest.raises(ConfigError, match="cannot be imported"):
        check("no_such_module_at_all:f", cases=path)
    with pytest.raises(ConfigError, match="no function 'dumsp'; did you mean 'dump"):
        check("json:dumsp", cases=path)
    with pytest.raises(ConfigError, match="by its name or as a function, got int"):
        check(4, cases=path)  # type: ignore[arg-type]


def test_a_judge_that_is_needed_is_asked_for(tmp_path: Path) -> None:
    async def asks(judge: Any, text: str) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="asks for a judge"):
        check(asks, cases=written(tmp_path, GOOD))


def test_a_plain_function_without_a_table_is_told_to_get_one() -> None:
    report = check(counted)
    (item,) = [item for _, item in report.failures()]
    assert (item.name, item.got) == ("enough-rows", "no case file")
    assert "--cases" in item.expected
