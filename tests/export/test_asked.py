"""What may be asked for, what is refused, and what the card says."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from huggingface_hub import ModelCard
from safetensors import SafetensorError

import lydite
from lydite.exports import dtypes
from lydite.exports.facts import mean_interval


def bare(tmp_path: Path, run: Any, *gone: str) -> Path:
    """A copy of the run's folder without some of it."""
    folder = tmp_path / "copy"
    shutil.copytree(run.folder, folder)
    for name in gone:
        shutil.rmtree(folder / name)
    return folder


def test_a_run_without_a_checkpoint_has_learned_nothing(run: Any, tmp_path: Path) -> None:
    with pytest.raises(lydite.ConfigError, match=r"no adapter and no checkpoint yet.*has learned nothing"):
        lydite.export(bare(tmp_path, run, "adapter", "checkpoints"), "adapter")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "mergd"}, "--to mergd: there is no such target; did you mean 'merged'?"),
        ({"to": "merged", "outtype": "q8_0"}, "--outtype is for --to gguf, and the target is merged"),
        ({"to": "gguf", "dtype": "float16"}, "--dtype is for --to merged and vllm"),
        ({"to": "gguf", "outtype": "q8"}, "no such type of weights; did you mean 'q8_0'?"),
        ({"to": "gguf", "converter": "nowhere.py"}, "there is no such file, nor on the PATH; it is llama.cpp's"),
        ({"to": "merged", "dtype": "bf16"}, "there is no such dtype; did you mean|there is no such dtype; known"),
        ({"to": "vllm", "layout": "lora"}, "no such layout"),
        ({"to": "merged", "checkpoint": "step-3"}, "no such checkpoint; did you mean 'step-2'|'step-1'"),
        ({"to": "merged", "n": 0}, "at least 1 prompt"),
        ({"to": "merged", "max_drift": -1.0}, "from 0, got max_drift = -1.0"),
        ({"to": "merged", "precision": "float64"}, "precision 'float64'"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(
    run: Any, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lydite.exports.exporting.load_trained", None)
    with pytest.raises(lydite.ConfigError, match=said):
        lydite.export(run.folder, **options)


def test_a_folder_that_holds_something_is_not_written_over(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(lydite.ConfigError, match="holds files that are no export"):
            lydite.export(run.folder, "adapter", out=tmp_path / "mine", overwrite=overwrite)
    lydite.export(run.folder, "adapter", out=tmp_path / "out")
    with pytest.raises(lydite.ConfigError, match=r"holds an earlier export.*--overwrite"):
        lydite.export(run.folder, "adapter", out=tmp_path / "out")
    lydite.export(run.folder, "adapter", out=tmp_path / "out", overwrite=True)


def test_the_weights_are_those_of_the_checkpoint_that_was_asked_for(run: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    def leaves(checkpoint: str | None) -> tuple[str, int, Any]:
        done = lydite.export(run.folder, "adapter", out=tmp_path / "out", checkpoint=checkpoint, overwrite=True)
        weights = load_file(done.folder / "adapter_model.safetensors")
        return done.parity["weights"], done.parity["step"], sum(float(one.abs().sum()) for one in weights.values())

    best, first, last = leaves(None), leaves("step-1"), leaves("last")
    assert (best[:2], first[:2], last[:2]) == (("best", 2), ("step-1", 1), ("last", 2))
    assert best[2] == last[2] > first[2]


def test_an_architecture_that_is_not_written_names_the_converter(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run(make_model("granite"))
    with pytest.raises(lydite.ConfigError, match=r"type 'granite' is not written here.*--converter"):
        lydite.export(run.folder, "gguf", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_card_has_the_run_s_facts(run: Any, tmp_path: Path) -> None:
    done = lydite.export(run.folder, "merged", out=tmp_path / "out", base_model="someone/base")
    text = (done.folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["base_model"] == "someone/base"
    assert front["library_name"] == "transformers"
    assert {"grpo", "lydite"} <= set(front["tags"])
    metric = front["model-index"][0]["results"][0]["metrics"][0]
    assert (metric["type"], metric["value"]) == ("accuracy", 0.8)
    assert ModelCard(text).data.pipeline_tag == "text-generation"
    for said in (
        "| before (step 0) | 0.200 | 0.036 to 0.624 | 5 |",  # Wilson's intervals of 1 and 4 of 5
        "| after (step 2) | 0.800 | 0.376 to 0.964 | 5 |",
        "`correct`: `text/number`, weight 1",
        "`lydite-text` 1.2.3 (sha256 `abababababab`)",
        "LoRA, r = 4, alpha = 12",
        "`best`, after step 2 of 2",
        "| seed | 42 |",
        "lydite 0.1.0, torch 2.13.0",
        "its licence holds for them",
    ):
        assert said in text
    parity = json.loads((done.folder / "parity.json").read_text())
    assert parity == done.parity
    assert str(parity["programs"][0]["prompts"]) in done.lines[0]
    adapter = lydite.export(run.folder, "adapter", out=tmp_path / "adapter")
    named = yaml.safe_load((adapter.folder / "README.md").read_text().split("---")[1])
    assert "base_model" not in named  # a folder is none that a hub knows
    assert yaml.safe_load((adapter.folder / "README.md").read_text().split("---")[1])["library_name"] == "peft"


def test_bfloat16_is_told_what_it_rounds_away(make_run: Callable[..., Any], tmp_path: Path) -> None:
    run = make_run(scale=0.003, dtype="bfloat16")
    rounded = lydite.export(run.folder, "merged", out=tmp_path / "out", dtype="bfloat16", max_drift=1.0)
    (found,) = rounded.parity["programs"]
    assert found["mean_drift"] > 0.1 * found["changed_by_training"]
    assert rounded.lines[-1].endswith("--dtype float16 keeps more")
    assert len(lydite.export(run.folder, "merged", out=tmp_path / "finer", dtype="float16").lines) == 1


def test_weights_are_float16_where_bfloat16_would_lose_what_was_learned(
    make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    young, grown = make_run(scale=0.003, dtype="bfloat16"), make_run(scale=0.5, dtype="bfloat16")
    done = lydite.export(young.folder, "merged", out=tmp_path / "out")
    assert (done.parity["dtype"], len(done.lines)) == ("float16", 2)
    assert "weights are float16: in bfloat16 they would be" in done.lines[1]
    assert done.parity["programs"][0]["kept"] == pytest.approx(1.0, abs=0.02)
    assert lydite.export(grown.folder, "merged", out=tmp_path / "grown").parity["dtype"] == "bfloat16"
    monkeypatch.setattr(dtypes, "largest_activation", lambda policy, prompt: 40000.0)  # Gemma's go that far
    kept = lydite.export(young.folder, "merged", out=tmp_path / "far", max_drift=1.0)
    assert kept.parity["dtype"] == "bfloat16"
    assert "activations of 4e+04 forbid float16; --dtype float32 keeps all" in kept.lines[1]


def test_the_largest_activation_is_the_largest_of_any_layer(run: Any) -> None:
    model = run.policy.causal
    prompt = (5, 6, 7, 8)
    with torch.no_grad():
        shown = [model(torch.tensor([list(prompt)]), output_hidden_states=True)]
    largest = dtypes.largest_activation(run.policy, prompt)
    assert largest >= max(float(one.abs().max()) for one in (*shown[0].hidden_states, shown[0].logits))
    hook = model.model.layers[0].mlp.register_forward_hook(lambda module, given, output: output * 1e5)
    try:
        assert dtypes.largest_activation(run.policy, prompt) > 100 * largest
    finally:
        hook.remove()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
    with pytest.raises(lydite.LyditeError, match=r"No space left on device.*make room"):
        lydite.export(run.folder, "merged", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_damaged_checkpoints_are_named(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = bare(tmp_path, run, "adapter")
    weights = folder / "checkpoints" / "step-000002" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(lydite.LyditeError, match=r"step-000002 cannot be read: adapter.safetensors is damaged"):
        lydite.export(folder, "adapter", out=tmp_path / "out", checkpoint="step-2")
    done = lydite.export(folder, "adapter", out=tmp_path / "out", checkpoint="last")
    assert done.parity["step"] == 1
    assert "the checkpoint of step 2 is damaged" in caplog.text


def test_a_run_of_several_processes_leaves_from_one(run: Any, tmp_path: Path) -> None:
    folder = bare(tmp_path, run)
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace('strategy = "ddp"', 'strategy = "fsdp2"'))
    assert "fsdp2" in (folder / "config.toml").read_text()
    assert lydite.export(folder, "adapter", out=tmp_path / "out").folder.is_dir()


def test_a_base_that_is_gone_is_named(run: Any, make_run: Callable[..., Any], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(run.config.model.path, base)
    orphan = make_run(base)
    base.rename(tmp_path / "moved")
    with pytest.raises(lydite.ConfigError, match=r"model.path = .*there is no such folder"):
        lydite.export(orphan.folder, "adapter", out=tmp_path / "out")


def test_the_licence_is_the_one_that_the_base_names(
    run: Any, make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(make_model(), base)
    (base / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    done = lydite.export(make_run(base).folder, "adapter", out=tmp_path / "out")
    text = (done.folder / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "mit"
    assert "names `mit`" in text
    (base / "README.md").write_text("---\nlicense: A Licence of Our Own\n---\n# A model\n")
    done = lydite.export(make_run(base).folder, "adapter", out=tmp_path / "other")
    front = yaml.safe_load((done.folder / "README.md").read_text().split("---")[1])
    assert (front["license"], front["license_name"]) == ("other", "A Licence of Our Own")


def test_an_interval_holds_its_mean() -> None:
    assert mean_interval([0.5]) is None
    low, high = mean_interval([0.2, 0.4, 0.9, 0.5]) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(0.2116, abs=1e-3), pytest.approx(0.7884, abs=1e-3))


def test_the_command_says_what_was_found_and_how_to_load_it(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lydite.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["export", str(run.folder), "--to", "merged", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert not ended.value.code
    assert "of 5 greedy answers equal" in said
    assert f'AutoModelForCausalLM.from_pretrained("{tmp_path / "out"}"' in said
    with pytest.raises(SystemExit) as failed:
        main(["export", str(run.folder), "--to", "merged", "--out", str(tmp_path / "b"), "--max-drift", "1e-12"])
    assert failed.value.code == 1
    with pytest.raises(SystemExit) as odd:
        main(["export", str(run.folder), "--to", "onnx"])
    assert odd.value.code == 2
