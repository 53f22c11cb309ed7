"""The plugin for pytest, run as authors run it: in a process of its own, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from lydite.plugins import BLOCK_VARIABLE

REWARD = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def right(answer: str, reference: str) -> lydite.Verdict:
    if not isinstance(reference, str) or not reference.strip() or "\\\\" in reference:
        return lydite.Verdict.error("reference.unreadable", scope="prompt")
    same = " ".join(answer.split()) == " ".join(reference.split()) {more}
    return lydite.Verdict(float(same), passed=same, reason="answer.equal" if same else "answer.different")

@lydite.hookimpl
def lydite_rewards():
    return {{"my/right": right}}
"""


@pytest.fixture
def author(tmp_path: Path, kit: Any) -> Path:
    """A folder with a reward that is sound and its cases beside it."""
    (tmp_path / "mine.py").write_text(REWARD.format(more=""))
    (tmp_path / "cases").mkdir()
    rows = "".join(json.dumps(row) + "\n" for row in kit.rows_of(kit.plain))
    (tmp_path / "cases" / "right.jsonl").write_text(rows)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environ[BLOCK_VARIABLE] = ",".join({entry.dist.name for entry in entry_points(group="lydite") if entry.dist})
    return subprocess.run(
        command, cwd=folder, env={**environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=120
    )


def test_each_section_is_a_test(author: Path) -> None:
    ran = run(author, "--lydite-check", "my/right", "--lydite-plugin", "mine.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "lydite-check[my/right]::attacks PASSED" in ran.stdout
    assert "9 passed" in ran.stdout


def test_a_failure_says_what_was_given_and_what_to_do(author: Path) -> None:
    (author / "mine.py").write_text(REWARD.format(more='or answer == ":"'))
    ran = run(author, "--lydite-check", "my/right", "--lydite-plugin", "mine.py")
    assert ran.returncode == 1
    assert "1 failed, 8 passed" in ran.stdout
    assert "FAILED master-key-colon" in ran.stdout
    assert "what to do: gate a judge" in ran.stdout
    assert "Traceback" not in ran.stdout


def test_what_cannot_be_checked_is_an_error_in_words(author: Path) -> None:
    ran = run(author, "--lydite-check", "my/rihgt", "--lydite-plugin", "mine.py")
    assert ran.returncode == 1
    assert "did you mean 'my/right'?" in ran.stdout
    cases = author / "broken.jsonl"
    cases.write_text('{"completion": "a", "expected": "pas"}\n')
    ran = run(author, "--lydite-check", "my/right", "--lydite-plugin", "mine.py", "--lydite-cases", "broken.jsonl")
    assert "broken.jsonl:1" in ran.stdout
    assert "did you mean 'pass'?" in ran.stdout


def test_without_the_option_nothing_of_the_kit_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    loaded = list(sys.modules)\n"
        "    assert 'lydite.testing.pytest_plugin' in loaded\n"
        "    assert not {'pydantic', 'torch', 'pebble', 'lydite.testing.checking'} & set(loaded)\n"
    )
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stdout


def test_in_a_test_file_of_the_author_s_own(author: Path) -> None:
    (author / "test_mine.py").write_text(
        "from lydite.testing import check\n"
        "def test_mine():\n"
        "    check('my/right', plugins=['mine.py']).raise_for_failures()\n"
    )
    (author / "mine.py").write_text(REWARD.format(more='or answer == ":"'))
    ran = run(author)
    assert ran.returncode == 1
    assert "my/right fails: 1 thing is wrong" in ran.stdout
