"""A check without a table: the gold answers of a run's own data, under the run's options and format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite.errors import ConfigError
from lydite.testing import CheckReport, check

REWARDS = """
import lydite

def loose(completion, reference):
    return float(reference in completion.text)

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def strict(answer: str, reference, *, ending: str = ""):
    if not isinstance(reference, str) or not reference.isalpha():
        return None
    given = answer.strip()
    return given == reference + ending

@lydite.reward(pays_for="form", range=(0.0, 1.0))
def brief(text: str):
    return float(0 < len(text.strip()) < 5)

def varied(group):
    return [1.0 for _ in group.completions]

@lydite.hookimpl
def lydite_rewards():
    return {"my/loose": loose, "my/strict": strict, "my/brief": brief}

@lydite.hookimpl
def lydite_group_rewards():
    return {"my/varied": varied}
"""
GOLDS = ("Paris", "Rome", "Madrid", "Lisbon", "Lima", "Tokyo", "Nairobi", "Quito")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(REWARDS)
    return tmp_path


@pytest.fixture
def of_run(folder: Path, pool: Any) -> Callable[..., CheckReport]:
    """Checks a reward called `it`, as a run uses it whose data has these gold answers."""

    def run(use: str, golds: Any = GOLDS, *, format: str = "plain", name: str = "it", **more: Any) -> CheckReport:
        rows = [{"question": f"Question {n}?", "gold": gold} for n, gold in enumerate(golds)]
        (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in more.items())
        (folder / "run.toml").write_text(
            'plugins = ["lydite-datasets", "lydite-formats"]\nplugin_files = ["mine.py"]\n'
            '[model]\npath = "none"\n'
            '[data]\nuse = "jsonl"\n'
            'options = { path = "questions.jsonl", prompt = "question", reference = "gold" }\n'
            f'[format]\nuse = "{format}"\n'
            f'[rewards.it]\nuse = "{use}"\noptions = {{ {options} }}\n'
            "[train]\nnum_generations = 2\nper_device_train_batch_size = 2\n"
        )
        return check(name, run="run.toml", pool=pool)

    return run


def test_five_lines_are_attacked_without_a_table(of_run: Any, failed: Any) -> None:
    report = of_run("my/loose")
    assert failed(report) >= {"two-answers", "stuffing", "empty-gold"}
    assert "enough-rows" not in failed(report)
    assert report.find("rows").note == "16 of 16 as the author says"


def test_a_sound_reward_passes_and_is_found_by_either_name(of_run: Any) -> None:
    for name in ("it", "my/strict"):
        report = of_run("my/strict", name=name)
        assert report.ok, list(report.failures())
        assert (report.reward, report.cases) == ("my/strict", "run.toml")


def test_options_and_format_are_those_of_the_run(of_run: Any, failed: Any) -> None:
    report = of_run("my/strict", format="boxed")
    assert report.ok, list(report.failures())
    refused = of_run("my/strict", ending="!")
    assert failed(refused) >= {"row-1", "row-3"}
    assert "for no other" in refused.find("row-1").note


def test_a_gold_answer_of_another_question_must_not_pass(of_run: Any, failed: Any, folder: Path) -> None:
    source = REWARDS.replace("return given ==", "return given in ('Paris', 'Rome') or given ==")
    (folder / "mine.py").write_text(source)
    report = of_run("my/strict")
    assert "row-16" in failed(report)
    assert "for no other" in report.find("row-16").note


def test_a_reward_for_the_form_is_asked_for_no_gold(of_run: Any, failed: Any) -> None:
    report = of_run("my/brief")
    assert not any(name.startswith("row-") for name in failed(report))
    assert report.pays_for == "form"


def test_what_a_run_cannot_give_is_refused(of_run: Any) -> None:
    with pytest.raises(ConfigError, match="judges groups"):
        of_run("my/varied")
    with pytest.raises(ConfigError, match="no reward 'itt'; did you mean 'it'"):
        of_run("my/strict", name="itt")
    with pytest.raises(ConfigError, match="gold answer that is a text or a number"):
        of_run("my/strict", [{"a": 1}] * 3)
    with pytest.raises(ConfigError, match="give one of the two"):
        check("it", run="run.toml", cases="cases.jsonl")
    with pytest.raises(ConfigError, match="by its name there"):
        check(lambda text: 1.0, run="run.toml")
