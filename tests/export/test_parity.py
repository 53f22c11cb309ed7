"""What is wrong with an export is noticed, whatever it is, and nothing of it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lydite
from lydite.errors import ExportError
from lydite.exports import gguf_writer, merged, merging
from lydite.exports.gguf_architectures import interleaved
from lydite.exports.parity import Bound, Comparison, problems, share_kept
from lydite.exports.readers import Answer

Tensors = Iterator[tuple[str, torch.Tensor]]


def without_the_adapter(layer: Any) -> torch.Tensor:
    return torch.zeros_like(layer.base_layer.weight, dtype=torch.float32)


def scaled_by_alpha_alone(layer: Any) -> torch.Tensor:
    return layer.lora_B["default"].weight @ layer.lora_A["default"].weight * 12.0


def without_one_layer(layer: Any) -> torch.Tensor:
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * 3.0
    return product if product.shape != (128, 128) else torch.zeros_like(product)


@pytest.mark.parametrize(
    ("mistake", "target"),
    [
        (without_the_adapter, "merged"),
        (scaled_by_alpha_alone, "merged"),
        (without_one_layer, "merged"),
        (without_one_layer, "gguf"),
    ],
)
def test_a_wrong_merge_does_not_leave(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Callable[..., torch.Tensor], target: Any
) -> None:
    monkeypatch.setattr(merging, "adapter_product", mistake)
    with pytest.raises(ExportError, match="nats a token from the trained policy's"):
        lydite.export(run.folder, target, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_llama_cpp")
def test_a_lost_adapter_shows_through_the_noise_of_4_bits(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lydite.export(run.folder, "gguf", out=tmp_path / "whole", outtype="q4_0", max_drift=5.0)
    assert 0.5 < whole.parity["programs"][0]["kept"] < 1.5
    monkeypatch.setattr(merging, "adapter_product", without_the_adapter)
    with pytest.raises(ExportError, match="of what training changed is in the export, and 50% to 150% should be"):
        lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="q4_0")


def test_rows_in_another_order_do_not_leave(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_writer, "interleaved", lambda weight, heads: weight)
    with pytest.raises(ExportError, match=r"(?s)transformers .* the bound is .*llama.cpp"):
        lydite.export(run.folder, "gguf", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_of_another_step_does_not_leave(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = type(run.policy).save_adapter

    def forgets(policy: Any, folder: Path) -> None:
        state = policy.adapter_state()
        policy.load_adapter_state({name: one * 0.9 for name, one in state.items()})
        save(policy, folder)
        policy.load_adapter_state(state)

    monkeypatch.setattr(type(run.policy), "save_adapter", forgets)
    with pytest.raises(ExportError, match="peft"):
        lydite.export(run.folder, "adapter", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_another_tokenizer_does_not_leave(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = merged.save_merged

    def mixes_up(trained: Any, folder: Path, dtype: torch.dtype) -> None:
        write(trained, folder, dtype)
        file = folder / "tokenizer.json"
        content = json.loads(file.read_text())
        content["model"]["merges"] = content["model"]["merges"][:3]
        file.write_text(json.dumps(content))

    monkeypatch.setattr(merged, "save_merged", mixes_up)
    with pytest.raises(ExportError, match=r"tokenizer reads .* of the prompts as other tokens"):
        lydite.export(run.folder, "merged", out=tmp_path / "out")


def test_a_lost_chat_template_does_not_leave(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = merged.save_merged

    def forgets(trained: Any, folder: Path, dtype: torch.dtype) -> None:
        write(trained, folder, dtype)
        (folder / "chat_template.jinja").unlink()

    monkeypatch.setattr(merged, "save_merged", forgets)
    with pytest.raises(ExportError, match="chat template"):
        lydite.export(run.folder, "merged", out=tmp_path / "out")


def test_a_young_adapter_that_bfloat16_rounds_away_does_not_leave(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """The sum of base and adapter is rounded: with a small adapter back to the base. Finer types hold it."""
    young = make_run(scale=0.0004, dtype="bfloat16")
    with pytest.raises(ExportError, match="what was learned drowns in the rounding"):
        lydite.export(young.folder, "merged", out=tmp_path / "out", dtype="bfloat16")
    done = lydite.export(young.folder, "merged", out=tmp_path / "out", dtype="float32")
    assert done.parity["programs"][0]["kept"] == pytest.approx(1.0, abs=0.05)


def test_an_earlier_export_stays_when_a_new_one_fails(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    lydite.export(run.folder, "merged", out=out)
    before = (out / "model.safetensors").read_bytes()
    monkeypatch.setattr(merging, "adapter_product", without_the_adapter)
    with pytest.raises(ExportError):
        lydite.export(run.folder, "merged", out=out, overwrite=True)
    assert (out / "model.safetensors").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_the_policy_is_compared_on_its_held_out_prompts_else_on_those_it_trained_on(
    run: Any, make_run: Callable[..., Any], tmp_path: Path
) -> None:
    held = lydite.export(run.folder, "adapter", out=tmp_path / "one", n=4, max_completion_length=3)
    assert held.parity["programs"][0]["prompts"] == 4
    assert held.parity["programs"][0]["tokens"] <= 12
    other = lydite.export(make_run(evaluated=False).folder, "adapter", out=tmp_path / "two")
    assert other.parity["programs"][0]["prompts"] == 3
    assert other.parity["weights"] == "last"


@pytest.mark.usefixtures("without_llama_cpp")
def test_a_stated_bound_replaces_the_own_ones(run: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the bound is 1e-09"):
        lydite.export(run.folder, "merged", out=tmp_path / "out", dtype="float16", max_drift=1e-9)
    assert lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="q4_0", max_drift=5.0).folder.is_dir()


def test_both_sides_may_compute_in_the_model_s_own_type(make_run: Callable[..., Any], tmp_path: Path) -> None:
    done = lydite.export(make_run(dtype="bfloat16").folder, "merged", out=tmp_path / "out", precision="model")
    (found,) = done.parity["programs"]
    assert done.parity["precision"] == "model"
    assert 1e-4 < found["mean_drift"] < 0.15  # the rounding of products


def comparison(**other: Any) -> Comparison:
    return Comparison(**{
        "reader": "a program", "prompts": 2, "tokens": 9, "mean_drift": 0.1, "max_drift": 0.5, "equal_answers": 1.0,
        "same_tokens": 1.0, "same_template": True, "same_chat": True, "runs_past": (), "unlike": (), "long_drift": 0.2,
        "long_prompt": 99, "changed_by_training": 1.0, "kept": 1.0, **other,
    })  # fmt: skip


def test_each_bound_is_one_of_its_own() -> None:
    for right in ({}, {"same_chat": None}, {"unlike": None}, {"long_drift": None}):
        assert problems(comparison(**right), Bound(0.1)) == []
    nan = float("nan")
    wrongs: tuple[dict[str, Any], ...] = (
        {"mean_drift": nan},
        {"kept": 0.4},
        {"kept": 1.6},
        {"kept": nan},
        {"same_tokens": 0.9},
        {"same_template": False},
        {"same_chat": False},
        {"runs_past": (2,)},
        {"unlike": ("a",)},
        {"long_drift": 0.21},
        {"long_drift": nan},
    )
    for wrong in wrongs:
        assert len(problems(comparison(**wrong), Bound(0.1))) == 1
    assert len(problems(comparison(changed_by_training=0.15), Bound(0.1, drift_to_change=0.5))) == 1
    assert problems(comparison(changed_by_training=0.25), Bound(0.1, drift_to_change=0.5)) == []
    assert problems(comparison(kept=0.0), Bound(0.1, None)) == problems(comparison(kept=None), Bound(0.1)) == []


logps = st.lists(st.floats(-20, 0), min_size=2, max_size=20)


@given(logps, st.floats(-3, 3), st.data())
def test_what_is_kept_is_how_far_an_export_goes_from_the_start_to_the_policy(
    start: list[float], share: float, data: st.DataObject
) -> None:
    first = torch.tensor(start, dtype=torch.float64)
    change = data.draw(st.lists(st.floats(-5, 5), min_size=len(start), max_size=len(start)))
    changed = torch.tensor(change, dtype=torch.float64)
    kept = share_kept(first + share * changed, first + changed, first)
    if changed.abs().mean() < 0.01:
        assert kept is None
    else:
        assert kept == pytest.approx(share, abs=1e-6)


def test_noise_that_has_nothing_to_do_with_training_changes_little_of_what_is_kept() -> None:
    draws = torch.Generator().manual_seed(0)
    start, change, noise = (torch.randn(400, generator=draws, dtype=torch.float64) for _ in range(3))
    assert share_kept(start + change + noise, start + change, start) == pytest.approx(1.0, abs=0.15)
    assert share_kept(start + noise, start + change, start) == pytest.approx(0.0, abs=0.15)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3))
def test_interleaved_rows_are_pairs_of_a_head_s_halves(heads: int, half: int, columns: int) -> None:
    weight = torch.arange(heads * 2 * half * columns).reshape(heads * 2 * half, columns)
    ours = interleaved(weight, heads)
    for head in range(heads):
        for place in range(half):
            start = head * 2 * half
            assert torch.equal(ours[start + 2 * place], weight[start + place])
            assert torch.equal(ours[start + 2 * place + 1], weight[start + half + place])


def test_an_answer_that_is_told_in_part_is_compared_in_part() -> None:
    assert Answer((1, 2), (0.0, 0.0)).equals((1, 2))
    assert not Answer((1, 2), (0.0, 0.0)).equals((1, 2, 3))
    assert Answer((1, 2), (0.0, 0.0), cut=True).equals((1, 2, 3))
    assert not Answer((1, 4), (0.0, 0.0), cut=True).equals((1, 2, 3))
