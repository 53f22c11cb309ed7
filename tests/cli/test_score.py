"""`lydite score` from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def right(answer: str, reference: str) -> float:
    return float(answer == reference)

def brief(text: str, *, most: int = 4) -> float:
    return 1.0 if len(text) <= most else 0.0

class Last:
    instructions = ""
    def parse(self, text):
        return lydite.Parsed(text.split()[-1])

@lydite.hookimpl
def lydite_rewards():
    return {"own/right": right, "own/brief": brief}

@lydite.hookimpl
def lydite_formats():
    return {"last": Last}
"""
STACK = """
plugin_files = ["own.py"]

[rewards.right]
use = "own/right"

[rewards.brief]
use = "own/brief"
weight = 0.5
"""
ROWS = [
    {"prompt": "2 + 2?", "completion": "it is 4", "answer": "4", "reward": 0.0},
    {"prompt": "2 + 2?", "completion": "5", "answer": "4", "reward": 1.0},
    {"prompt": "1 + 1?", "completion": "2", "answer": "2", "reward": 1.0},
    {"prompt": "1 + 1?", "completion": "it is 3", "answer": "2", "reward": 0.0},
]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(PLUGIN)
    file = tmp_path / "stack.toml"
    file.write_text(STACK)
    return file


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "saved.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def test_the_screen_and_both_files(lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path) -> None:
    out, changes = tmp_path / "scored.jsonl", tmp_path / "changes.json"
    ran = lydite(
        "score", saved, "--stack", stack, "--reference", "answer", "--format", "last", "--out", out, "--json", changes,
        "--workers", "1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    for line in (
        "4 completions in 2 groups, 8 verdicts in",
        "right        1  0.500",
        "brief      0.5  0.500",
        "3 of 4 totals changed",
        "of 2 pairs inside groups, 1 swapped their order",
        "the sign changed for 2 completions in 1 of 2 groups; it turned round for 2 in 1 groups",
        "'2 + 2?': -0.71 to +0.71, +0.71 to -0.71",
    ):
        assert line in ran.out
    assert [json.loads(line)["completion"] for line in out.read_text().splitlines()] == [
        row["completion"] for row in ROWS
    ]
    found = json.loads(changes.read_text())
    assert (found["rows"], found["stack"]) == (4, str(stack))
    assert found["advantages"]["groups_flipped"] == 1
    assert found["rewards"]["right"]["share"] == pytest.approx(2 / 3, abs=1e-6)


def test_what_it_wrote_can_be_scored_again_with_other_weights(
    lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path
) -> None:
    out, changes = tmp_path / "scored.jsonl", tmp_path / "changes.json"
    assert lydite("score", saved, "--stack", stack, "--reference", "answer", "--format", "last", "--out", out).code == 0
    same = lydite("score", out, "--stack", stack, "--json", changes)
    assert same.code == 0, same.err
    assert json.loads(changes.read_text())["reward"]["changed"] == 0
    assert lydite("score", out, "--stack", stack, "--json", changes, "--set", "rewards.brief.weight=2.0").code == 0
    found = json.loads(changes.read_text())
    assert found["reward"]["changed"] == 2
    assert found["rewards"]["brief"]["weight"] == 2.0
    assert found["rewards"]["right"]["mean_before"] == 0.5


def test_a_format_of_the_stack_itself(lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path) -> None:
    stack.write_text(STACK + '[format]\nuse = "last"\n')
    changes = tmp_path / "changes.json"
    assert lydite("score", saved, "--stack", stack, "--reference", "answer", "--json", changes).code == 0
    assert json.loads(changes.read_text())["rewards"]["right"]["mean"] == 0.5


def test_data_beside_the_completions(lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path) -> None:
    golds, changes = tmp_path / "golds.jsonl", tmp_path / "changes.json"
    golds.write_text('{"prompt": "2 + 2?", "reference": "5"}\n{"prompt": "1 + 1?", "reference": "2"}\n')
    assert lydite("score", saved, "--stack", stack, "--data", golds, "--json", changes).code == 0
    assert json.loads(changes.read_text())["rewards"]["right"]["mean"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 1, "saved.jsonl:1: reward 'right' (own/right of file own.py) compares with a gold answer"),
        (["--set", "rewards.brief.wieght=1"], 2, "did you mean 'weight'?"),
        (["--set", "rewards.brief.use=own/breif"], 2, "did you mean 'own/brief'?"),
        (["--set", "rewards.brief.options.most=many"], 2, "option 'most'"),
        (["--format", "lats"], 2, "did you mean 'last'?"),
        (["--data", "none.jsonl"], 1, "none.jsonl cannot be read"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    arguments: list[str], code: int, said: str, lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path
) -> None:
    out, changes = tmp_path / "scored.jsonl", tmp_path / "changes.json"
    ran = lydite("score", saved, "--stack", stack, "--out", out, "--json", changes, *arguments)
    assert ran.code == code
    assert said in ran.err
    assert not out.exists()
    assert not changes.exists()


def test_a_stack_that_is_none(lydite: Callable[..., Any], saved: Path, tmp_path: Path) -> None:
    ran = lydite("score", saved, "--stack", tmp_path / "none.toml")
    assert (ran.code, "there is no such file" in ran.err) == (2, True)
    file = tmp_path / "stack.toml"
    file.write_text('plugins = []\n[reward.right]\nuse = "own/right"\n')
    ran = lydite("score", saved, "--stack", file)
    assert ran.code == 2
    assert "did you mean 'rewards'?" in ran.err
    assert "model" not in ran.err
    file.write_text("[rewards.right\n")
    assert "not valid TOML" in lydite("score", saved, "--stack", file).err


def test_a_whole_configuration_of_a_run_will_do(
    lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path
) -> None:
    stack.write_text(STACK + '[model]\npath = "nowhere"\n[data]\nuse = "nothing"\n[train]\nscale_rewards = "none"\n')
    changes = tmp_path / "changes.json"
    ran = lydite("score", saved, "--stack", stack, "--reference", "answer", "--json", changes)
    assert ran.code == 0, ran.err
    (group, *_) = json.loads(changes.read_text())["advantages"]["groups"] or [None]
    assert group is None or group["advantages"][0][0] == -0.5


def test_a_broken_line_is_named_before_anything_is_scored(
    lydite: Callable[..., Any], stack: Path, saved: Path, tmp_path: Path
) -> None:
    saved.write_text(saved.read_text() + '{"prompt": "3 + 3?"}\n')
    ran = lydite("score", saved, "--stack", stack, "--out", tmp_path / "scored.jsonl")
    assert ran.code == 1
    assert f"error: {saved}:5: 'completion' is missing; expected a row such as" in ran.err
    assert not (tmp_path / "scored.jsonl").exists()


def test_it_loads_no_torch(stack: Path, saved: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from lydite.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert 'torch' not in sys.modules"
    )
    arguments = ["score", str(saved), "--stack", str(stack), "--reference", "answer"]
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_first_error_of_a_reward_is_told_in_full(lydite: Callable[..., Any], stack: Path, saved: Path) -> None:
    broken = PLUGIN.replace("return 1.0 if len(text) <= most else 0.0", "return {}[len(text)]")
    (stack.parent / "own.py").write_text(broken)
    ran = lydite("score", saved, "--stack", stack, "--reference", "answer", "--set", "stack.max_error_share=1.0")
    assert ran.code == 0, ran.err
    assert "  the first error: raised.KeyError: reward 'brief' raised KeyError: 7" in ran.out
