"""`lydite plan` on a tiny model: the table, the advice, the exit code, and a step that is measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
plugins = ["lydite-families"]
[model]
path = "model"
device = "cpu"
[data]
use = "jsonl"
max_prompt_length = 24
[rewards.correct]
use = "text/exact"
[train]
num_generations = 2
per_device_train_batch_size = 4
max_completion_length = 8
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "llama")


@pytest.fixture
def config(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in the current folder, beside its model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(model)
    path = tmp_path / "sums.toml"
    path.write_text(CONFIG)
    return path


def rows(out: str) -> dict[str, list[str]]:
    """The table's cells by the name of their row."""
    found = [re.split(r" {2,}", line.rstrip()) for line in out.splitlines()]
    return {cells[0]: cells[1:] for cells in found if len(cells) > 1}


def test_parts_sum_and_what_is_free_are_shown(lydite: Callable[..., Any], config: Path) -> None:
    ran = lydite("plan", config)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("sums: model, 0.1M parameters, sampled by hf on a CPU\n")
    table = rows(ran.out)
    assert {"other linear weights", "adapter", "optimiser", "activations", "sum", "free", "left"} <= set(table)
    assert len(table["sum"]) == 2
    assert "every prompt is taken to have 24 tokens (data.max_prompt_length)" in ran.out
    assert not (config.parent / "runs").exists()


def test_another_device_is_planned_for_with_vllm(lydite: Callable[..., Any], config: Path) -> None:
    ran = lydite("plan", config, "--set", "device=auto", "--memory", "24GiB")
    assert ran.code == 0
    assert "sampled by vllm on a GPU" in ran.out
    table = rows(ran.out)
    assert table["in all"] == ["24.00 GiB", "24.00 GiB"]
    assert "KV cache" in table
    assert "2 sequences are decoded at once" not in ran.out
    assert "4 sequences are decoded at once, of up to 512 tokens" in ran.out


def test_a_run_that_does_not_fit_ends_with_1_and_says_what_to_change(lydite: Callable[..., Any], config: Path) -> None:
    changes = ("--set", "per_device_train_batch_size=32", "--set", "gradient_checkpointing=false")
    ran = lydite("plan", config, "--memory", "2MiB", *changes)
    assert ran.code == 1
    assert "missing" in rows(ran.out)["left"][1]
    assert re.search(r"^it does not fit: .* are missing$", ran.out, re.MULTILINE)
    assert re.search(r'^1\. train\.gradient_checkpointing = "auto": training ', ran.out, re.MULTILINE)
    assert re.search(r"^then it fits: .* in rollouts, .* in training$", ran.out, re.MULTILINE)


def test_what_can_never_fit_is_said(lydite: Callable[..., Any], config: Path) -> None:
    ran = lydite("plan", config, "--memory", "400KiB")
    assert ran.code == 1
    assert "take a smaller model or a larger device" in ran.out


def test_weights_are_not_read(lydite: Callable[..., Any], config: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "model").unlink()
    (tmp_path / "model").mkdir()
    for file in model.iterdir():
        (tmp_path / "model" / file.name).write_bytes(b"no" if file.suffix == ".safetensors" else file.read_bytes())
    assert lydite("plan", config).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--memory", "much"), "a size such as 24GiB"),
        (("--memory", "1GiB", "--measure"), "--measure tries the run on this machine, and --memory plans for another"),
        (("--set", "model.path=nowhere/at/all"), "model.path = 'nowhere/at/all': there is no such folder"),
        (("--set", "max_prompt_length=600", "--set", "engine.use=vllm"), "the model's context has 512"),
    ],
)
def test_a_wrong_question_is_refused(
    lydite: Callable[..., Any], config: Path, arguments: tuple[str, ...], message: str
) -> None:
    ran = lydite("plan", config, *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_a_measured_step_is_put_beside_the_plan_and_nothing_is_kept(lydite: Callable[..., Any], config: Path) -> None:
    before = sorted(config.parent.iterdir())
    ran = lydite("plan", config, "--measure", "--set", "gradient_checkpointing=true")
    assert ran.code == 0
    assert "measured with the engine hf: 4 completions of at most" in ran.out
    assert "after prompts of 24, then a micro-batch of 4 completions of 8" in ran.out
    measured = rows(ran.out.partition("measured with")[2])
    assert list(measured)[-3:] == ["policy loaded", "rollout", "training"]
    assert all(len(measured[name]) == 3 for name in ("rollout", "training"))
    assert sorted(config.parent.iterdir()) == before


def test_the_longest_completion_is_planned_for_and_then_trained_on(lydite: Callable[..., Any], config: Path) -> None:
    ran = lydite("plan", config, "--longest")
    assert ran.code == 0
    whole = "24 tokens of prompt and 488 of completion, 512 together, all that the model can read"
    assert f"the longest that fits, as planned: {whole}" in ran.out
    assert "every prompt is taken to have 24 tokens (data.max_prompt_length) and every completion 488" in ran.out
    ran = lydite("plan", config, "--longest", "--measure", "--set", "per_device_train_batch_size=2")
    assert ran.code == 0
    assert f"the longest that was trained on, in 1 trials: {whole}; 0 of 3 layers were computed again" in ran.out


def test_a_smaller_device_has_room_for_less_or_for_nothing(lydite: Callable[..., Any], config: Path) -> None:
    found = []
    for memory in ("2MiB", "3MiB"):
        ran = lydite("plan", config, "--longest", "--memory", memory)
        assert ran.code == 0
        said = re.search(r"24 tokens of prompt and (\d+) of completion, (\d+) together$", ran.out, re.MULTILINE)
        assert said is not None
        found.append(int(said[1]))
    assert 0 < found[0] < found[1] < 488
    ran = lydite("plan", config, "--longest", "--memory", "100KiB")
    assert ran.code == 1
    assert "as planned: none; a prompt of 24 tokens leaves no room for a completion of one" in ran.out
