"""Mistakes that leave the log-probabilities of short answers nearly as they were, and are noticed all the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_model import CHATML, END, START

import lydite
from lydite.errors import ExportError
from lydite.exports import gguf_writer, merged, merging
from lydite.exports.readers.llama_cpp import has_llama_cpp
from lydite.exports.rounding import _near

with_llama_cpp = pytest.mark.skipif(not has_llama_cpp(), reason="llama.cpp is not installed")
Change = Callable[[dict[str, Any]], None]


def spoiled(monkeypatch: pytest.MonkeyPatch, name: str, change: Change) -> None:
    """Lets a JSON file of every merged model be changed right after it was written."""
    write = merged.save_merged

    def writes(trained: Any, folder: Path, dtype: torch.dtype) -> None:
        write(trained, folder, dtype)
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    monkeypatch.setattr(merged, "save_merged", writes)


def test_an_answer_that_would_not_end_does_not_leave(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled(monkeypatch, "generation_config.json", lambda content: content.update(eos_token_id=5))
    with pytest.raises(ExportError, match=r"answers would not end: it goes on after 2, at which"):
        lydite.export(run.folder, "merged", out=tmp_path / "out")


def test_a_lost_start_token_does_not_leave(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    shutil.copytree(make_model(), base)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "bos_token": START}))
    (base / "chat_template.jinja").write_text("{{ bos_token }}" + CHATML)
    starts = make_run(base)
    lydite.export(starts.folder, "merged", out=tmp_path / "out")
    spoiled(monkeypatch, "tokenizer_config.json", lambda content: content.pop("bos_token"))
    with pytest.raises(ExportError, match="a conversation under the export's chat template is read as other tokens"):
        lydite.export(starts.folder, "merged", out=tmp_path / "other")


def test_one_layer_that_was_not_merged_shows_below_the_rounding_of_all(
    make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = merging.adapter_product

    def forgets_one(layer: Any) -> torch.Tensor:
        made = product(layer)
        return torch.zeros_like(made) if layer is forgotten[0] else made

    young = make_run(dtype="bfloat16", scale=0.02)
    forgotten: list[Any] = []
    load = merging.merged_tensors

    def finds(policy: Any, **options: Any) -> Any:
        forgotten[:] = [policy.causal.get_submodule("model.layers.1.self_attn.v_proj")]
        return load(policy, **options)

    monkeypatch.setattr(merging, "merged_tensors", finds)
    monkeypatch.setattr(merging, "adapter_product", forgets_one)
    with pytest.raises(
        ExportError, match=r"1 of the export's tensors are not .* model.layers.1.self_attn.v_proj.weight"
    ):
        lydite.export(young.folder, "merged", out=tmp_path / "out", dtype="bfloat16", max_drift=5.0)


def test_a_lost_window_of_attention_shows_behind_a_long_prompt(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks_back = make_run(make_model("mistral", sliding_window=100))
    spoiled(monkeypatch, "config.json", lambda content: content.update(sliding_window=None))
    with pytest.raises(ExportError) as raised:
        lydite.export(looks_back.folder, "merged", out=tmp_path / "out")
    (problem,) = str(raised.value).splitlines()[1:]  # nothing else tells
    assert "behind a prompt of 503 tokens" in problem


def test_other_rotary_positions_do_not_leave(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(content: dict[str, Any]) -> None:
        content["rope_parameters"] = {**content["rope_parameters"], "rope_type": "linear", "factor": 1.02}

    spoiled(monkeypatch, "config.json", scaled)
    with pytest.raises(ExportError, match="behind a prompt of 503 tokens"):
        lydite.export(run.folder, "merged", out=tmp_path / "out")


@with_llama_cpp
def test_llama_cpp_is_told_what_ends_an_answer(
    run: Any, make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    shutil.copytree(run.config.model.path, base)
    settings = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [2, 65]}))
    ends_twice = make_run(base)
    done = lydite.export(ends_twice.folder, "gguf", out=tmp_path / "out", outtype="f32")
    assert [one["runs_past"] for one in done.parity["programs"]] == [[], []]
    monkeypatch.setattr(gguf_writer, "add_end_of_turn", lambda writer, policy: None)
    with pytest.raises(ExportError, match=r"llama.cpp .*: answers would not end: it goes on after 65"):
        lydite.export(ends_twice.folder, "gguf", out=tmp_path / "other", outtype="f32")


@with_llama_cpp
def test_another_chat_template_is_noticed_by_what_llama_cpp_makes_of_it(run: Any, tmp_path: Path) -> None:
    from lydite.exports.readers.llama_cpp import LlamaCppReader
    from lydite.exports.trained import CONVERSATION, rendered

    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32")
    reader = LlamaCppReader(next(done.folder.glob("*.gguf")), 128)
    ids = rendered(run.policy.tokenizer, CONVERSATION)
    assert ids is not None
    assert reader.renders(CONVERSATION, ids)
    assert not reader.renders(CONVERSATION, (*ids[:-1], ids[-2]))
    assert not reader.renders(CONVERSATION[:1], ids)
    text = f"{START}user\nhello{END}"
    tokens = run.policy.tokenizer(text).input_ids
    assert reader.reads(text, tokens)
    assert not reader.reads(text, [*tokens[:-1], tokens[-1] + 1])
    reader.close()


SIZES = st.just(0.0) | st.floats(2.0**-13, 4.0, width=32)
NUMBERS = st.lists(st.builds(lambda size, sign: size * sign, SIZES, st.sampled_from([-1, 1])), min_size=32, max_size=32)
BITS = {"bfloat16": 8, "float16": 11, "float32": 24}


@given(NUMBERS, st.sampled_from(sorted(BITS)))
def test_what_is_rounded_once_is_near_and_a_step_away_is_not(numbers: list[float], kind: str) -> None:
    exact = torch.tensor([numbers])
    rounded = exact.clone().to(getattr(torch, kind)).float()
    assert _near(rounded, exact, kind)
    place = int(exact.abs().argmax())
    if (largest := float(exact.abs().max())) > 0.01:
        rounded[0, place] += max(3 * 2.0 ** -BITS[kind], 1e-5) * largest
        assert not _near(rounded, exact, kind)


@given(NUMBERS)
def test_eight_bits_round_by_half_a_step_of_the_block(numbers: list[float]) -> None:
    import gguf

    exact = torch.tensor([numbers])
    kind = gguf.GGMLQuantizationType.Q8_0
    unpacked = torch.tensor(gguf.quants.dequantize(gguf.quants.quantize(exact.numpy(), kind), kind))
    assert _near(unpacked, exact, "q8_0")
    if (largest := float(exact.abs().max())) > 0.01:
        assert not _near(unpacked + 0.02 * largest, exact, "q8_0")
