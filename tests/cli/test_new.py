"""`lydite new`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Lydite = Callable[..., Any]


def test_it_says_what_was_written_and_what_comes_next(lydite: Lydite, tmp_path: Path) -> None:
    ran = lydite("new", "reward", "my-rubric", "--into", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert str(tmp_path / "lydite-my-rubric") in ran.out
    assert "  lydite_my_rubric/cases/answer.jsonl" in ran.out
    assert ran.out.rstrip().endswith("lydite check my-rubric/answer")
    assert (tmp_path / "lydite-my-rubric" / "pyproject.toml").is_file()


def test_by_default_it_is_written_here(lydite: Lydite, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert lydite("new", "reward", "one").code == 0
    assert (tmp_path / "lydite-one" / "README.md").is_file()


def test_a_bad_name_and_a_folder_that_exists_are_refused(lydite: Lydite, tmp_path: Path) -> None:
    ran = lydite("new", "reward", "My Rubric", "--into", tmp_path)
    assert ran.code == 2
    assert "'my-rubric' would do" in ran.err
    (tmp_path / "lydite-one").mkdir()
    ran = lydite("new", "reward", "one", "--into", tmp_path)
    assert ran.code == 2
    assert "is there already" in ran.err


def test_help_is_short(lydite: Lydite) -> None:
    assert "reward" in lydite("new", "--help").out
    assert "--into" in lydite("new", "reward", "--help").out
