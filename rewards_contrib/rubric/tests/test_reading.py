"""A rubric's file: what is read from it, and how each fault in it is told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lydite_rubric import Rubric, read_rubric
from lydite_rubric.reading import rubric_from
from lydite_rubric.rubric import FunctionCheck, JudgeCheck, RegexCheck, RewardCheck

CLEAR = "package:lydite_rubric/rubrics/clear-answer.toml"
GOOD: dict[str, Any] = {"id": "one", "text": "Is good", "points": 1, "check": {"regex": "good"}}

REWARD = {"use": "text/regex", "options": {"pattern": "x"}, "met": "fails"}
PROSE = "lydite_rubric.clear:is_prose"
FUNCTION = {"function": PROSE, "options": {"min_words": 2}}


def written(folder: Path, *criteria: Any, **top: Any) -> str:
    path = folder / "rubric.toml"
    path.write_text(tomli_w.dumps({"name": "memo", "version": "1", "criteria": list(criteria), **top}))
    return str(path)


def test_everything_in_the_file_is_read(tmp_path: Path) -> None:
    given = written(
        tmp_path,
        {**GOOD, "tags": ["axis:form", "axis:form"], "gate": True},
        {"id": "two", "text": "T", "points": -2.5, "check": REWARD},
        {"id": "three", "text": "T", "points": 2, "check": FUNCTION},
        {"id": "four", "text": "Says why", "points": 1, "judge": True},
        {"id": "five", "text": "T", "points": 1, "judge": "Is it kind?", "quote": False},
        {"id": "six", "text": "T", "points": 1, "check": {"use": "text/length", "at_least": 0.25}},
    )  # fmt: skip
    rubric = read_rubric(given)
    assert (rubric.name, rubric.version, len(rubric.digest)) == ("memo", "1", 12)
    assert [one.check for one in rubric.criteria] == [
        RegexCheck("good"),
        RewardCheck("text/regex", {"pattern": "x"}, met="fails"),
        FunctionCheck("lydite_rubric.clear:is_prose", {"min_words": 2}),
        JudgeCheck("Says why"),
        JudgeCheck("Is it kind?", quote=False),
        RewardCheck("text/length", at_least=0.25),
    ]
    assert rubric.points == (1.0, -2.5, 2.0, 1.0, 1.0, 1.0)
    assert rubric.criteria[0].tags == ("axis:form",)
    assert [one.id for one in rubric.checked] == ["one", "two", "three", "six"]
    assert [one.id for one in rubric.judged] == ["four", "five"]
    assert pickle.loads(pickle.dumps(rubric)) == rubric


def test_gates_are_checked_first(tmp_path: Path) -> None:
    rubric = read_rubric(written(tmp_path, GOOD, {**GOOD, "id": "two", "gate": True}))
    assert [one.id for one in rubric.checked] == ["two", "one"]


def test_json_is_read_like_toml(tmp_path: Path) -> None:
    toml = read_rubric(written(tmp_path, GOOD))
    path = tmp_path / "rubric.json"
    path.write_text(json.dumps({"name": "memo", "version": "1", "criteria": [GOOD]}))
    assert read_rubric(str(path)).criteria == toml.criteria


def test_a_file_inside_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "brings_a_rubric"
    (package / "rubrics").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    written(package / "rubrics", GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert read_rubric("package:brings_a_rubric/rubrics/rubric.toml").name == "memo"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere/memo.toml", r"no rubric file 'nowhere/memo.toml': the folder nowhere does not exist"),
        ("package:lydite_rubric/rubrics/claer-answer.toml", r"there are: clear-answer\.toml"),
        ("package:lydite_rubrik/x.toml", r"the package 'lydite_rubrik' .* is not installed"),
        ("package:lydite_rubric/../x.toml", r"expected 'package:name/folder/file\.toml', got"),
        ("package:/etc/x.toml", r"expected 'package:name"),
        ("package:lydite_rubric", r"expected 'package:name"),
        ("memo.yaml", r"ends in \.toml or \.json, got 'memo\.yaml'"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rubric(given)


def broken(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not None}


FAULTS = [
    (broken(point=1), r"criterion 'one' \(number 2\): a criterion has no key 'point'; did you mean 'points'\?"),
    (broken(points=None), r"criterion 'one' \(number 2\): it has no `points`; give a number"),
    (broken(points=0), r"`points` is 0, which neither earns nor costs"),
    (broken(points="3"), r"`points` is a number, got '3'"),
    (broken(points=True), r"`points` is a number, got True"),
    (broken(points=float("inf")), r"`points` lies between"),
    (broken(points=float("nan")), r"`points` lies between"),
    (broken(text=None), r"a criterion needs `text`, and it is not given"),
    (broken(text=" "), r"`text` is a text that is not empty, got ' '"),
    (broken(id=None), r"criterion 2: a criterion needs `id`"),
    (broken(id="two words"), r"an id has 1 to 80 letters, digits and \. _ : -, got 'two words'"),
    (broken(id="zero"), r"criterion 'zero' \(number 2\): its id is already that of criterion 1"),
    (broken(judge=True), r"it has both `check` and `judge`"),
    (broken(check=None), r"it has neither `check` nor `judge`"),
    (broken(check=None, judge=False), r"it has neither `check` nor `judge`"),
    (broken(check=None, judge=True, gate=True), r"a criterion with a judge cannot be a gate"),
    (broken(check=None, judge=3), r"`judge` is true, or the question to ask in place of the text; got 3"),
    (broken(check=None, judge=True, quote="no"), r"`quote` is true or false, got 'no'"),
    (broken(quote=False), r"`quote` is for criteria with a judge"),
    (broken(gate="yes"), r"`gate` is true or false, got 'yes'"),
    (broken(tags="axis"), r"`tags` is a list of words, got 'axis'"),
    (broken(check="good"), r"`check` is a table with one of `use`, `regex`, `function`, got 'good'"),
    (broken(check={}), r"`check` needs one of `use`, `regex`, `function`, got \{\}"),
    (broken(check={"regexp": "x"}), r"`check` needs one of .*did you mean 'regex'\?"),
    (broken(check={"regex": "x", "use": "y"}), r"`check` has `use`, `regex`; one check has one of them"),
    (broken(check={"regex": "("}), r"`regex` is not a regular expression: .*, got '\('"),
    (broken(check={"regex": "x", "off": "text"}), r"a check with `regex` has no key 'off'; did you mean 'of'\?"),
    (broken(check={"regex": "x", "of": "txt"}), r"`of` is 'answer' or 'text', got 'txt'; did you mean 'text'\?"),
    (broken(check={"regex": "x", "met": "fail"}), r"`met` is 'passes' or 'fails', got 'fail'; did you mean 'fails'\?"),
    (broken(check={"use": "x/y", "options": [1]}), r"`options` is a table, got \[1\]"),
    (broken(check={"use": "x/y", "at_least": "1"}), r"`at_least` is a number, got '1'"),
    (broken(check={"use": 3}), r"`use` is a text that is not empty, got 3"),
    (broken(check={"function": "clear"}), r"`function` is 'module:function', got 'clear'"),
    (broken(check={"function": "no_such_module:f"}), r"'no_such_module' cannot be imported \(ModuleNotFoundError"),
    (broken(check={"function": "lydite_rubric.clear:is_pros"}), r"no function 'is_pros'; did you mean 'is_prose'\?"),
    (broken(check={"function": PROSE, "options": {"words": 1}}), r"has no option 'words'"),
    (broken(check={"function": PROSE, "options": {"min_words": "many"}}), r"must be int, got 'many'"),
    (broken(check={"function": "os:system"}), r"asks for 'command', which a check is not given"),
    (3, r"criterion 2: a criterion is a table, got a int"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_a_fault_in_a_criterion_names_it_and_says_what_is_expected(fault: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rubric_from({"name": "memo", "criteria": [{**GOOD, "id": "zero"}, fault]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = 'x'\n", r"memo\.toml: a rubric needs at least one criterion, each under \[\[criteria\]\]; got none"),
        ("name = 'x'\ncriteria = []\n", r"at least one criterion"),
        ("name = 'x'\ncriteria = 3\n", r"at least one criterion.* got a int"),
        ("name = 'x'\nversion = 1\n", r"`version` is a text that is not empty, got 1"),
        ("[[criteria]]\nid = 'a'\n", r"a rubric needs `name`"),
        ("name = 'x'\n[[criterion]]\nid = 'a'\n", r"no key 'criterion'; did you mean 'criteria'\?"),
        ("name = \n", r"memo\.toml: not TOML: .*line 1"),
        (b"name = '\xff'", r"not UTF-8"),
        ("name = 'x'\nx = " + "[" * 5000, r"not TOML"),
    ],
)  # fmt: skip
def test_a_fault_of_the_whole_file_names_the_file(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "memo.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        read_rubric(str(path))


@pytest.mark.parametrize("content", ["{", "[" * 99_999, '{"name": "x"'])
def test_broken_json_is_told_as_such(tmp_path: Path, content: str) -> None:
    path = tmp_path / "memo.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"memo\.json: not JSON"):
        read_rubric(str(path))


def test_too_many_criteria_and_too_large_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 256 criteria, got 257"):
        rubric_from({"name": "x", "criteria": [{**GOOD, "id": str(one)} for one in range(257)]})
    path = tmp_path / "memo.toml"
    path.write_text("#" * 1_000_001)
    with pytest.raises(ValueError, match="larger than 1000000 bytes"):
        read_rubric(str(path))


def test_a_module_that_exits_when_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exits_on_import.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"'exits_on_import' cannot be imported \(SystemExit: 3\)"):
        rubric_from({"name": "x", "criteria": [{**GOOD, "check": {"function": "exits_on_import:f"}}]})


def test_the_shipped_rubric_is_read() -> None:
    rubric = read_rubric(CLEAR)
    assert isinstance(rubric, Rubric)
    assert not rubric.judged
    assert {tag.split(":")[0] for one in rubric.criteria for tag in one.tags} == {"axis"}
