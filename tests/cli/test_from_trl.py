"""`lydite train --from-trl` for real: a file for TRL's script, a data folder and a reward of the current folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

YAML = """
model_name_or_path: model
dataset_name: ./questions
reward_funcs: [my_rewards.correct]
learning_rate: 1e-4
num_generations: 2
per_device_train_batch_size: 4
num_train_epochs: 0.5
max_completion_length: 6
use_peft: true
lora_target_modules: [q_proj, v_proj]
bf16: false
use_cpu: true
eval_strategy: steps
eval_steps: 2
logging_steps: 1
"""
REWARD = """
def correct(completions, solution, **kwargs):
    return [float(one[0]["content"].strip().startswith(gold)) for one, gold in zip(completions, solution, strict=True)]
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "llama")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions").mkdir()
    for split, count in (("train", 8), ("test", 3)):
        rows = [
            {"prompt": [{"role": "user", "content": f"{split} {n} + 1 ="}], "solution": str(n + 1)}
            for n in range(count)
        ]
        (tmp_path / "questions" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "my_rewards.py").write_text(REWARD)
    (tmp_path / "grpo.yaml").write_text(YAML)
    return tmp_path


@pytest.mark.slow
def test_a_file_for_trl_is_said_written_and_trained(model: Path, lydite: Callable[..., Any], here: Path) -> None:
    (here / "model").symlink_to(model)
    ran = lydite("train", "--from-trl", "grpo.yaml", "--dry-run")
    assert ran.code == 0, ran.err
    assert "nothing was trained" in ran.out
    assert 'function = "my_rewards:correct"' in ran.out
    assert not (here / "grpo.toml").exists()

    ran = lydite("train", "--from-trl", "grpo.yaml")
    assert ran.code == 0, ran.err
    assert "taken over     learning_rate: train.learning_rate = 0.0001" in ran.err
    assert "dropped        logging_steps" in ran.err
    folder = here / "runs" / "grpo"
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [one["step"] for one in steps] == [1, 2], "half of 8 rows, two prompts a step"
    assert all(one["verdicts/correct/error"] == 0 for one in steps)
    evals = [json.loads(line) for line in (folder / "evals.jsonl").read_text().splitlines()]
    assert [(one["step"], one["n"]) for one in evals] == [(0, 3), (2, 3)]

    assert "lydite train grpo.toml" in ran.err
    ran = lydite("train", "grpo.toml", "--dry-run")
    assert ran.code == 0, ran.err

    (here / "grpo.yaml").write_text(YAML.replace("1e-4", "1e-5"))
    ran = lydite("train", "--from-trl", "grpo.yaml", "--overwrite")
    assert ran.code == 2
    assert "grpo.toml is there and says something else" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sums.toml", "--from-trl", "grpo.yaml"), "leave CONFIG.toml and --resume out"),
        (("--from-trl", "grop.yaml"), "did you mean 'grpo.yaml'"),
    ],
)
def test_bad_input(lydite: Callable[..., Any], here: Path, arguments: tuple[str, ...], message: str) -> None:
    ran = lydite("train", *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_what_cannot_be_honoured_trains_nothing(lydite: Callable[..., Any], here: Path) -> None:
    (here / "grpo.yaml").write_text(YAML + "repetition_penalty: 1.1\nuse_dora: true\n")
    ran = lydite("train", "--from-trl", "grpo.yaml")
    assert ran.code == 2
    page = (Path(__file__).parents[2] / "docs" / "from-trl.md").read_text()
    assert ran.err in page, "the page shows this very error"
    assert not (here / "grpo.toml").exists()
