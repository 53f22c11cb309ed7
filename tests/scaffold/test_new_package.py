"""What `lydite new reward` writes is a package: it builds, installs, is found by name, and passes its own check."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lydite.errors import ConfigError
from lydite.scaffold import write_reward_package
from lydite.testing import read_cases


@pytest.mark.slow
def test_it_installs_and_passes_its_check_as_it_is(tmp_path: Path, fresh: Any) -> None:
    written = write_reward_package("my-rubric", tmp_path)
    installed = fresh.run("pip", "install", "--quiet", ".", cwd=written.folder)
    assert installed.returncode == 0, installed.stderr
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    ran = fresh.run("lydite", "check", "my-rubric/answer", "--json", "-", cwd=outside)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert report["owner"] == "lydite-my-rubric 0.1.0"
    assert "site-packages" in report["cases"]
    statuses = [item["status"] for section in report["sections"] for item in section["items"]]
    assert {"failed", "allowed"}.isdisjoint(statuses)
    tested = fresh.run("pytest", "-q", "-p", "no:cacheprovider", cwd=written.folder)
    assert tested.returncode == 0, tested.stdout
    assert "3 passed" in tested.stdout


def test_every_file_is_there_and_filled_in(tmp_path: Path) -> None:
    written = write_reward_package("lydite-short-words", tmp_path)
    assert written.folder.name == "lydite-short-words"
    assert written.reward == "short-words/answer"
    assert [file.as_posix() for file in written.files] == [
        "README.md", "calibration/answer.jsonl", "lydite_short_words/__init__.py", "lydite_short_words/answer.py",
        "lydite_short_words/cases/answer.jsonl", "lydite_short_words/py.typed", "pyproject.toml",
        "tests/test_answer.py",
    ]  # fmt: skip
    for file in written.files:
        text = (written.folder / file).read_text()
        assert "$" not in text, file
        assert ".tmpl" not in file.name
    project = tomllib.loads((written.folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["lydite"] == {"short-words": "lydite_short_words"}
    cases = read_cases(written.folder / "lydite_short_words" / "cases" / "answer.jsonl").cases
    assert len(cases) >= 20
    assert {"pass", "fail", "abstain"} <= {case.expected[0] for case in cases}
    labels = [json.loads(line) for line in (written.folder / "calibration" / "answer.jsonl").read_text().splitlines()]
    assert {row["expected"] for row in labels} == {True, False}


def test_its_readme_names_every_option_and_reason(tmp_path: Path) -> None:
    written = write_reward_package("my-rubric", tmp_path)
    readme = (written.folder / "README.md").read_text()
    source = (written.folder / "lydite_my_rubric" / "answer.py").read_text()
    names: dict[str, Any] = {"__name__": "answer"}
    exec(compile(source, "answer.py", "exec"), names)
    assert all(f"`{reason}`" in readme for reason in names["REASONS"])
    assert "`case`" in readme
    assert "What it cannot see" in readme


def test_its_code_keeps_to_lydite_s_rules(tmp_path: Path) -> None:
    import subprocess
    import sys

    written = write_reward_package("my-rubric", tmp_path)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "."]
    ran = subprocess.run(command, cwd=written.folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My Rubric", "'my-rubric' would do"),
        ("myRubric", "'my-rubric' would do"),
        ("my_rubric", "'my-rubric' would do"),
        ("3-words", "'words' would do"),
        ("../evil", "'evil' would do"),
        ("a--b", "'a-b' would do"),
        ("Ünï-Köln", "'uni-koln' would do"),
        ("3d", "beginning with a letter"),
        ("", "a package cannot be called ''"),
        ("\u00e9", "beginning with a letter"),
        ("a" * 41, "at most 40"),
        ("text", "lydite-text is a distribution of lydite's own; try text-mine"),
        ("lydite-math", "lydite-math is a distribution of lydite's own"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        write_reward_package(name, tmp_path)
    assert said in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    first = write_reward_package("my-rubric", tmp_path)
    (first.folder / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="is there already; choose another name"):
        write_reward_package("my-rubric", tmp_path)
    assert (first.folder / "README.md").read_text() == "mine"
    with pytest.raises(ConfigError, match="there is no such folder"):
        write_reward_package("my-rubric", tmp_path / "none")


def test_the_names_that_are_taken_are_lydite_s_distributions() -> None:
    from lydite.scaffold.writing import _TAKEN

    root = Path(__file__).parents[2]
    folders = {
        file.parent.name
        for file in (*root.glob("plugins/*/pyproject.toml"), *root.glob("rewards_contrib/*/pyproject.toml"))
    }
    assert folders == _TAKEN
