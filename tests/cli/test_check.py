"""`lydite check`: output for people and as JSON, exit codes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Lydite = Callable[..., Any]

REWARD = """
import lydite

REASONS = ("answer.equal", "answer.different", "reference.unreadable")

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def right(answer: str, reference: str, *, case: bool = True) -> lydite.Verdict:
    if not isinstance(reference, str) or not reference.strip() or "\\\\" in reference:
        return lydite.Verdict.error("reference.unreadable", scope="prompt")
    given, gold = " ".join(answer.split()), " ".join(reference.split())
    same = given == gold if case else given.lower() == gold.lower()
    return lydite.Verdict(float(same), passed=same, reason="answer.equal" if same else "answer.different")

def paid(text: str) -> float:
    return 1.0

def trl(completions, **kwargs):
    return [1.0 for _ in completions]

@lydite.hookimpl
def lydite_rewards():
    return {"my/right": right, "my/paid": paid}
"""
NAMES = ("Paris", "Rome", "Madrid", "Lisbon", "Lima", "Tokyo", "Nairobi", "Quito", "Oslo", "Accra")


def table(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plugin file and the cases of one of its rewards beside it."""
    (tmp_path / "mine.py").write_text(REWARD)
    (tmp_path / "cases").mkdir()
    rows = [{"completion": name, "reference": name, "expected": "pass", "gold": True, "prompt": "?"} for name in NAMES]
    rows += [{"completion": "nowhere", "reference": name, "expected": "fail", "prompt": "?"} for name in NAMES]
    (tmp_path / "cases" / "right.jsonl").write_text(table(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_reward_that_passes(lydite: Lydite, folder: Path) -> None:
    ran = lydite("check", "my/right", "--plugin", "mine.py")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("my/right (file mine.py), pays for the answer\n")
    assert "my/right passes" in ran.out
    assert "p50" in ran.out
    longer = lydite("check", "my/right", "--plugin", "mine.py", "--verbose")
    assert "skipped text-after-end-tag: fits no gold row" in longer.out
    assert "ok two-answers" in longer.out


def test_a_reward_that_fails_says_what_to_do(lydite: Lydite, folder: Path) -> None:
    ran = lydite("check", "my/paid", "--plugin", "mine.py", "--cases", "cases/right.jsonl")
    assert ran.code == 1
    assert [line.strip() for line in ran.out.splitlines() if "FAILED" in line] == ["FAILED tells-answers-apart"]
    assert "my/paid fails: " in ran.out
    whole = lydite("check", "my/paid", "--plugin", "mine.py", "--cases", "cases/right.jsonl", "--verbose").out
    assert "FAILED row-at-line-11" in whole
    assert "FAILED empty" in whole
    assert "what to do: refuse what says nothing" in whole


def test_the_gold_answers_of_a_run_do_without_a_table(lydite: Lydite, folder: Path) -> None:
    rows = [{"question": f"{name}?", "gold": name} for name in NAMES]
    (folder / "questions.jsonl").write_text(table(rows))
    (folder / "run.toml").write_text(
        'plugins = ["lydite-datasets"]\nplugin_files = ["mine.py"]\n[model]\npath = "none"\n'
        '[data]\nuse = "jsonl"\n'
        'options = { path = "questions.jsonl", prompt = "question", reference = "gold" }\n'
        '[rewards.correct]\nuse = "my/right"\n[rewards.bonus]\nuse = "my/paid"\n'
    )
    ran = lydite("check", "correct", "--run", "run.toml")
    assert (ran.code, ran.err) == (0, "")
    assert "my/right passes" in ran.out
    ran = lydite("check", "bonus", "--run", "run.toml")
    assert (ran.code, "FAILED tells-answers-apart" in ran.out) == (1, True)
    assert "--run RUN.toml takes" in lydite("check", "my/paid", "--plugin", "mine.py").out


def test_json_for_other_programs(lydite: Lydite, folder: Path) -> None:
    ran = lydite("check", "my/right", "--plugin", "mine.py", "--json", "-")
    report = json.loads(ran.out)
    assert report["ok"] is True
    assert report["reward"] == "my/right"
    assert [section["name"] for section in report["sections"]][:2] == ["cases", "invariances"]
    ran = lydite("check", "my/paid", "--plugin", "mine.py", "--cases", "cases/right.jsonl", "--json", "out.json")
    assert ran.code == 1
    assert "FAILED" in ran.out
    assert json.loads((folder / "out.json").read_text())["ok"] is False
    ran = lydite("check", "my/right", "--plugin", "mine.py", "--json", "mine.py/out.json")
    assert ran.code == 2
    assert "--json mine.py/out.json" in ran.err


def test_a_function_by_module_and_name(lydite: Lydite, folder: Path) -> None:
    (folder / "a_module_of_mine.py").write_text(REWARD)
    ran = lydite("check", "a_module_of_mine:trl", "--cases", "cases/right.jsonl")
    assert ran.code == 1
    assert "FAILED tells-answers-apart" in ran.out
    ran = lydite("check", "a_module_of_mine:tlr", "--cases", "cases/right.jsonl")
    assert ran.code == 2
    assert "did you mean 'trl'?" in ran.err


def test_options_and_format_are_handed_on(lydite: Lydite, folder: Path) -> None:
    more = (folder / "cases" / "right.jsonl").read_text().replace('"completion": "Paris"', '"completion": "paris"')
    (folder / "cases" / "right.jsonl").write_text(more)
    assert lydite("check", "my/right", "--plugin", "mine.py").code == 1
    assert lydite("check", "my/right", "--plugin", "mine.py", "--option", "case=false").code == 0
    boxed = [
        {"completion": f"\\boxed{{{one}}}", "reference": one, "expected": "pass", "gold": True} for one in NAMES
    ] + [{"completion": "\\boxed{no}", "reference": one, "expected": "fail"} for one in NAMES]
    (folder / "boxed.jsonl").write_text(table(boxed))
    given = ("check", "my/right", "--plugin", "mine.py", "--cases", "boxed.jsonl")
    assert lydite(*given).code == 1
    assert lydite(*given, "--format", "boxed").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "check needs the name of a reward, or --all"),
        (("my/right", "--all"), "check needs the name of a reward, or --all"),
        (("--all", "--cases", "cases/right.jsonl"), "leave out --cases"),
        (("my/rihgt",), "did you mean 'my/right'?"),
        (("my/right", "--format", "boxd"), "did you mean 'boxed'?"),
        (("my/right", "--option", "case"), "--option case: expected key=value"),
        (("my/right", "--option", "cse=true"), "has no option 'cse'; did you mean 'case'?"),
        (("my/right", "--run", "none.toml"), "none.toml: there is no such file"),
        (("--all", "--run", "run.toml"), "leave out --cases, --run"),
        (("my/right", "--cases", "none.jsonl"), "none.jsonl: there is no such case file"),
        (("my/right", "--cases", "broken.jsonl"), "broken.jsonl:2: expected a JSON object"),
    ],
)
def test_wrong_input_is_refused(lydite: Lydite, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    (folder / "broken.jsonl").write_text('{"completion": "a", "expected": "pass"}\nnonsense\n')
    ran = lydite("check", *arguments, "--plugin", "mine.py")
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_a_file_that_does_not_load_says_so(lydite: Lydite, folder: Path) -> None:
    (folder / "mine.py").write_text("import nothing_of_that_name\n")
    ran = lydite("check", "my/right", "--plugin", "mine.py")
    assert ran.code == 2
    assert "No module named 'nothing_of_that_name'" in ran.err


def test_all_checks_every_reward(lydite: Lydite, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import entry_points

    from lydite.plugins import BLOCK_VARIABLE

    monkeypatch.setenv(BLOCK_VARIABLE, ",".join({one.dist.name for one in entry_points(group="lydite") if one.dist}))
    ran = lydite("check", "--all", "--plugin", "mine.py", "--json", "out.json")
    assert ran.code == 1
    found = json.loads((folder / "out.json").read_text())
    assert found["ok"] is False
    assert [(one["reward"], one["ok"]) for one in found["rewards"]] == [("my/paid", False), ("my/right", True)]
    assert "no case file" in ran.out
