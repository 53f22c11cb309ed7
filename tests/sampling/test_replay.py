"""A step's updates from its saved rollouts: the same numbers again, and red when anything was changed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lydite
from lydite.cli.app import app
from lydite.errors import CheckpointError, ConfigError
from lydite.kept_rollouts import kept_steps, read_rollouts, save_rollouts
from lydite.replay import Comparison, Figure, replay_step
from lydite.runfolder import RunFolder
from lydite.types import (
    Completion,
    Component,
    Episode,
    FormatError,
    Generated,
    Parsed,
    Prompt,
    Sample,
    Scored,
    ScoredCompletion,
    ScoredGroup,
    Verdict,
)

KINDS = ["mixed", "easy", "mixed", "mixed", "hard", "mixed"]


@pytest.fixture
def make_run(
    here: Path, tiny_model: Path, settings: Callable[..., dict[str, Any]], write_data: Callable[..., None]
) -> Callable[..., Path]:
    """Trains for four steps with rollouts kept, and gives the run's folder."""
    (here / "model").symlink_to(tiny_model)
    write_data(KINDS)

    def make(**changes: Any) -> Path:
        given = settings(2, keep_rollouts=True, max_refills=1)
        given["train"].update(max_steps=4, num_iterations=2, **changes.pop("train", {}))
        return lydite.train({**given, **changes, "name": "kept"}, display="none").folder

    return make


@pytest.fixture(scope="module")
def kept_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run of this module's tests is kept once it was made."""
    return tmp_path_factory.mktemp("made") / "kept"


@pytest.fixture
def run(make_run: Callable[..., Path], kept_run: Path, here: Path) -> Path:
    """The folder of a run that a test may change."""
    if not kept_run.exists():
        shutil.copytree(make_run(), kept_run)
        return here / "runs" / "kept"
    shutil.copytree(kept_run, here / "runs" / "kept")
    return here / "runs" / "kept"


def edit_rollouts(folder: Path, step: int, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "rollouts" / f"step-{step:06d}.json.gz"
    content = json.loads(gzip.decompress(path.read_bytes()))
    edit(content)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))


@pytest.mark.parametrize(("step", "start"), [(1, 0), (3, 2), (4, 2)])
def test_a_step_is_redone_to_the_last_bit(run: Path, step: int, start: int) -> None:
    found = replay_step(run, step)
    assert found.changes == ()
    assert (found.start, found.asked.step, found.asked.tolerance) == (start, step, 0.0)
    assert {one.name for one in found.asked.figures} >= {"loss", "grad_norm", "entropy", "learning_rate"}
    assert [(one.name, one.difference) for one in found.asked.figures if one.difference != 0.0] == []
    assert found.same
    assert found.first_apart is None
    assert found.weights_gap == (0.0 if step == 4 else None)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "rloo"},
        {"algorithm": "online_dpo"},
        {"algorithm": "ppo", "sampling": {"keep_rollouts": True}},
        {"train": {"beta": 0.1, "mask_truncated_completions": True}},
    ],
    ids=["rloo", "online_dpo", "ppo", "beta"],
)
def test_every_algorithm_can_be_redone(make_run: Callable[..., Path], changes: dict[str, Any]) -> None:
    found = replay_step(make_run(**changes), 4)
    assert found.same
    assert found.start == 2
    assert found.weights_gap == 0.0


def test_other_tokens_advantages_or_log_probabilities_are_noticed(run: Path) -> None:
    kept = (run / "rollouts" / "step-000003.json.gz").read_bytes()

    def token(content: dict[str, Any]) -> None:
        content["groups"][0]["completions"][0]["generated"]["token_ids"][0] ^= 1

    def advantage(content: dict[str, Any]) -> None:
        content["groups"][0]["completions"][1]["advantage"] += 1e-3

    def logp(content: dict[str, Any]) -> None:
        content["groups"][1]["completions"][0]["generated"]["logps"][0] -= 0.01

    for edit in (token, advantage, logp):
        edit_rollouts(run, 3, edit)
        found = replay_step(run, 4)
        assert not found.same, edit
        assert found.first_apart == 3, edit
        (run / "rollouts" / "step-000003.json.gz").write_bytes(kept)
    assert replay_step(run, 4).same


def test_other_settings_are_named_and_compared_within_a_tolerance(run: Path) -> None:
    other = replay_step(run, 3, changes=["train.logprob_chunk_size=7", "lora.dropout=0.0"])
    assert set(other.changes) == {"lora.dropout: 0.1 -> 0.0", "train.logprob_chunk_size: 1024 -> 7"}
    assert other.asked.tolerance == 0.02
    assert not replay_step(run, 3, changes=["lora.dropout=0.0"], tolerance=0.0).same
    assert replay_step(run, 3, changes=["train.logprob_chunk_size=7"]).same


def test_another_machine_is_told_from_the_manifest(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    torch = manifest["packages"]["torch"]
    manifest["packages"]["torch"] = "1.0"
    manifest.update(device="NVIDIA H100", processes=2)
    (run / "manifest.json").write_text(json.dumps(manifest))
    found = replay_step(run, 1)
    assert [line for line in found.changes if line.startswith("torch")] == [f"torch: 1.0 -> {torch}"]
    assert any(line.startswith("device: NVIDIA H100 -> ") for line in found.changes)
    assert "processes: 2 -> 1" in found.changes
    assert found.asked.tolerance == 0.02
    assert found.same


def test_a_run_is_redone_where_its_model_is_in_another_place_and_its_plugin_files_are_not(
    run: Path, here: Path
) -> None:
    plugin_files = [Path(one) for one in tomllib.loads((run / "config.toml").read_text()).get("plugin_files", [])]
    assert plugin_files, "the run has no plugin file that could be missing"
    for one in plugin_files:
        one.unlink()
    shutil.copytree(here / "model", here / "elsewhere")
    found = replay_step(run, 3, changes=[f"model.path={here / 'elsewhere'}"])
    assert found.changes == ()
    assert found.same, "the same weights come to the same bits"
    assert [line.partition(":")[0] for line in found.moved] == [
        "model.path", *(f"plugin file {one}" for one in plugin_files)
    ]  # fmt: skip

    weights = here / "elsewhere" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    other = replay_step(run, 3, changes=[f"model.path={here / 'elsewhere'}"])
    assert other.changes == (f"model: the weights in {here / 'elsewhere'} are not those of the run",)
    assert other.asked.tolerance == 0.02


def test_a_damaged_checkpoint_is_passed_over_and_named(run: Path) -> None:
    (run / "checkpoints" / "step-000002" / "adapter.safetensors").write_bytes(b"damaged")
    found = replay_step(run, 4)
    assert found.start == 0
    assert found.same
    assert [line for line in found.moved if "step-000002" in line]
    (run / "rollouts" / "step-000001.json.gz").unlink()
    with pytest.raises(
        ConfigError, match=r"from the adapter's fresh start, .*damaged: step-000002.*of every step from 1"
    ):
        replay_step(run, 4)


def test_the_command_says_what_it_found_and_fails_when_it_differs(run: Path) -> None:
    said = CliRunner().invoke(app, ["replay", str(run), "--step", "4"])
    assert said.exit_code == 0, said.output
    assert f"step 4 of {run}, redone on cpu from its checkpoint of step 2" in said.output
    assert "figures are the same to the last bit" in said.output
    assert "the weights after step 4 are those of its checkpoint, to the last bit" in said.output

    edit_rollouts(run, 3, lambda content: content["groups"][0]["completions"][0].update(advantage=5.0))
    said = CliRunner().invoke(app, ["replay", str(run), "--step", "4"])
    assert said.exit_code == 1
    assert "figures are not the same to the last bit" in said.output
    assert "the first step that differs is 3: look there with --step 3" in said.output
    assert "differs" in next(line for line in said.output.splitlines() if line.startswith("grad_norm"))


def test_the_command_as_json_on_another_device_without_kernels(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LYDITE_KERNELS", raising=False)
    monkeypatch.setenv("LYDITE_KERNELS", "")  # so that it is taken back afterwards
    said = CliRunner().invoke(
        app, ["replay", str(run), "--step", "1", "--device", "auto", "--kernels", "off", "--json"]
    )
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    assert found["same"]
    assert found["start"] == 0
    assert "LYDITE_KERNELS=off" in found["changes"]
    assert found["figures"]["loss"]["agrees"]


def test_a_kernel_that_does_not_exist_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "")
    said = CliRunner().invoke(app, ["replay", str(run), "--step", "1", "--kernels", "ropes"])
    assert isinstance(said.exception, ConfigError)
    assert "did you mean 'rope'" in str(said.exception)


def test_a_step_whose_update_failed_is_redone_with_nothing_to_compare(run: Path) -> None:
    metrics = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(metrics[:3]))
    shutil.rmtree(run / "checkpoints" / "step-000004")
    said = CliRunner().invoke(app, ["replay", str(run), "--step", "4"])
    assert said.exit_code == 1
    assert "the run recorded no figures of step 4 to compare with" in said.output


def test_what_cannot_be_redone_is_said_before_a_model_is_loaded(run: Path, here: Path) -> None:
    (here / "model").unlink()
    with pytest.raises(ConfigError, match="no rollouts of step 5: it has those of 4 steps, from 1 to 4"):
        replay_step(run, 5)
    path = run / "rollouts" / "step-000003.json.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"step-000003\.json\.gz cannot be read"):
        replay_step(run, 4)
    shutil.copy(run / "rollouts" / "step-000002.json.gz", path)
    with pytest.raises(CheckpointError, match="holds the rollouts of step 2"):
        replay_step(run, 4)
    shutil.rmtree(run / "rollouts")
    with pytest.raises(ConfigError, match=r"sampling\.keep_rollouts = true"):
        replay_step(run, 4)


def test_rollouts_read_back_as_they_were(tmp_path: Path) -> None:
    # Every field of what is saved has a value here that is not its default, so that none is forgotten.
    episode = Episode(({"role": "assistant", "content": "hm"},), (0.1 + 0.2, None), "max_turns", "broke")
    generated = Generated((5, 6), "é", "é\n", "length", (-0.1, -1e-17), (True, False), episode)
    verdict = Verdict(1 / 3, passed=True, reason="r", parsed="p", parts={"x": Verdict.abstain("no")}, verifier="v")
    components = {"right": Component(verdict, 1 / 3, 0.7), "none": Component(Verdict.error("e"), None, 0.0)}
    said = Completion("é", FormatError("a", "b"), "é\n", 2, "length", 1, episode)
    first = ScoredCompletion(generated, said, components, 2 / 3, -1 / 7)
    second = ScoredCompletion(Generated((7,), "b", "b", "stop"), Completion("b", Parsed("b", "c")), {}, None, 0.0)
    sample = Sample("a", ({"role": "user", "content": "hi"},), [1, {"two": 2.5}], {"level": 3})
    prompt = Prompt(sample, "hi", (1, 2), ({"role": "user", "content": "begin"},))
    for thing in (generated, first, prompt, sample, said):
        for field in dataclasses.fields(thing):
            assert getattr(thing, field.name) != field.default, f"{type(thing).__name__}.{field.name}"
    groups = (ScoredGroup(prompt, (first, second)),)
    path = save_rollouts(RunFolder(tmp_path), 12, Scored(groups, {"reward": 1.0}, {}))
    assert read_rollouts(tmp_path, 12).groups == groups
    assert kept_steps(tmp_path) == [12]
    before = path.read_bytes()
    save_rollouts(RunFolder(tmp_path), 12, Scored(groups, {}, {}))
    assert path.read_bytes() == before


def test_columns_without_a_form_in_json_are_left_out(tmp_path: Path) -> None:
    sample = Sample("a", "hi", None, {"level": 3, "thing": object()})
    made = ScoredCompletion(Generated((7,), "b", "b", "stop"), Completion("b", Parsed("b")), {}, None, 0.0)
    save_rollouts(RunFolder(tmp_path), 1, Scored((ScoredGroup(Prompt(sample, "hi", (1,)), (made,)),), {}, {}))
    assert read_rollouts(tmp_path, 1).groups[0].prompt.sample.columns == {"level": 3}


@pytest.mark.parametrize(
    ("recorded", "redone", "tolerance", "agrees"),
    [
        (1.0, 1.0, 0.0, True),
        (1.0, 1.0 + 2**-52, 0.0, False),
        (1.0, 1.019, 0.02, True),
        (1.0, 1.021, 0.02, False),
        (0.0, 0.0009, 0.02, True),
        (0.0, 0.0011, 0.02, False),
        (None, 1.0, 0.02, False),
        (1.0, float("nan"), 0.02, False),
    ],
)
def test_when_figures_agree(recorded: float | None, redone: float, tolerance: float, agrees: bool) -> None:
    one = Figure("loss", recorded, redone)
    assert one.agrees(tolerance) is agrees
    assert Comparison(1, (one,), tolerance).same is agrees
    assert not Comparison(1, (), tolerance).same


def test_shares_of_single_tokens_are_compared_on_the_scale_of_shares() -> None:
    assert Figure("clip_ratio/high_max", 0.0, 0.019).agrees(0.02)
    assert not Figure("clip_ratio/high_max", 0.0, 0.021).agrees(0.02)
    assert not Figure("clip_ratio/high_max", 0.0, 1e-9).agrees(0.0)
