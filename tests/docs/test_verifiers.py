"""The plugins that the pages print do what the pages say, scored as in a run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.configfile import read_config
from lydite.plugins import load_plugins
from lydite.rewards import build_stack
from lydite.rollout.engine import Sampling
from lydite.rollout.scripted import ScriptedEngine
from lydite.types import Prompt, Sample, Scored

ROOT = Path(__file__).parents[2]


def scored(config: Any, texts: list[str], *, reference: Any = None, columns: Mapping[str, Any] | None = None) -> Scored:
    """What the configuration's rewards say of these answers to one prompt."""
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    form = plugins.find("formats", config.format.use).thing(**config.format.options)
    prompt = Prompt(Sample("one", "what?", reference, columns or {}), "what?", (1,))
    rollouts = ScriptedEngine(texts).generate([prompt], Sampling(len(texts), 64), seed=0)
    stack = build_stack(config, plugins, form)
    try:
        return stack.score(rollouts, 1)
    finally:
        stack.close()


def values(outcome: Scored, name: str) -> list[float | None]:
    return [one.components[name].value for one in outcome.groups[0].completions]


@pytest.mark.slow
def test_the_five_lines_of_the_readme_judge_in_a_run_as_printed(with_model: Any) -> None:
    with_model.lay_out(ROOT / "README.md")
    config = read_config("run.toml")
    outcome = scored(config, ["yes, by Art. 5", "yes, by § 5", "no"], reference="yes")
    assert values(outcome, "cites") == [1.0, 0.0, 0.0]
    assert values(outcome, "correct") == [1.0, 1.0, 0.0]
    assert [one.reward for one in outcome.groups[0].completions] == pytest.approx([1.2, 1.0, 0.0])


@pytest.mark.slow
def test_the_readme_s_configuration_passes_a_dry_run(with_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from lydite.cli import main

    with_model.lay_out(ROOT / "README.md")
    rows = [{"question": f"is {n} odd?", "gold": "yes" if n % 2 else "no"} for n in range(8)]
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit) as ended:
        main(["train", "run.toml", "--dry-run"])
    printed = capsys.readouterr()
    assert (ended.value.code or 0, printed.err) == (0, "")
    assert "8 to train on" in printed.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "reward", "expected"),
    [
        ("legal.py", {"use": "legal/cites", "options": {"at_least": 2}}, [0.5, 0.0, 0.0]),
        ("legal.py", {"use": "legal/brief", "options": {"words": 2}}, [1.0, 1.0, 0.0]),
        ("varied.py", {"use": "varied"}, [1.0, 1.0, 1.0]),
        ("from_trl.py", {"use": "ends_politely"}, [0.0, 0.0, 1.0]),
        ("clerk.py", {"use": "approved", "judge": "clerk", "judge_options": {"strict": True}}, [1.0, 0.0, 0.0]),
        ("clerk.py", {"use": "approved", "judge": "clerk"}, [0.0, 0.0, 1.0]),
    ],
)
def test_the_guide_s_rewards_judge(desk: Any, file: str, reward: dict[str, Any], expected: list[float]) -> None:
    desk.lay_out(ROOT / "docs" / "writing-plugins.md")
    config = read_config(
        {"plugin_files": [file], "model": {"path": "none"}, "data": {"use": "none"}, "rewards": {"it": reward}}
    )
    outcome = scored(config, ["§ 7", "no idea", "as you wish. Thank you."], columns={"statutes": ["§ 7", "§ 8"]})
    assert values(outcome, "it") == expected


def test_the_guide_s_format_data_and_observer_do_what_they_say(desk: Any) -> None:
    desk.lay_out(ROOT / "docs" / "writing-plugins.md")
    plugins = load_plugins(allow=(), files=["verdict_line.py", "squares.py", "diary.py"])
    form = plugins.find("formats", "verdict-line").thing(mark="Holding:")
    assert isinstance(form, lydite.Format)
    assert form.parse("It is so.\nHolding: void") == lydite.Parsed("void", "It is so.")
    assert form.parse("void") == lydite.FormatError("mark.missing", "no 'Holding:' in the text")
    samples = list(plugins.find("datasets", "squares").thing(up_to=4))
    assert [(one.prompt, one.reference) for one in samples] == [("2 * 2 =", "4"), ("3 * 3 =", "9"), ("4 * 4 =", "16")]
    plugins.hooks.lydite_start(run=lydite.RunInfo("a", "runs/a", 1, {}, {}))
    plugins.hooks.lydite_step(report=lydite.StepReport(1, 1, {"reward": math.pi}, {}, None))
    plugins.hooks.lydite_finish(result=lydite.RunResult("runs/a", {"stopped": "finished"}))
    assert Path("diary.txt").read_text().splitlines() == ["a: 1 steps", f"1 {math.pi}", "finished"]


@pytest.mark.slow
def test_a_run_s_folder_holds_the_files_that_the_readme_lists(with_model: Any) -> None:
    with_model.lay_out(ROOT / "docs" / "resuming.md")
    config = read_config("sums.toml", overrides=["eval.n=2", "eval.reward.use=text/number", "max_steps=1"])
    folder = lydite.train(config, display="none").folder
    table = (ROOT / "README.md").read_text().partition("| file | holds |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {name.rstrip("/") for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == listed - {
        "skipped.jsonl",
        "judges.json",
    }
