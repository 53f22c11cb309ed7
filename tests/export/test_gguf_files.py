"""What lies in a GGUF file: the order of rows, types of blocks, and what only llama.cpp reads of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import lydite
from lydite.exports.readers.llama_cpp import has_llama_cpp

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}


@pytest.mark.skipif(not has_llama_cpp(), reason="llama.cpp is not installed")
@pytest.mark.parametrize(
    ("architecture", "settings", "left_out"),
    [
        ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}}, "'linear'"),
        ("qwen2", {"rope_parameters": YARN}, "'yarn'"),
        ("qwen3", {}, "attention heads of 32 numbers"),
    ],
)
def test_what_transformers_leaves_out_of_a_gguf_file_llama_cpp_does_not(
    make_model: Callable[..., Path],
    make_run: Callable[..., Any],
    tmp_path: Path,
    architecture: str,
    settings: dict[str, Any],
    left_out: str,
) -> None:
    run = make_run(make_model(architecture, **settings))
    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32")
    (found,) = done.parity["programs"]
    assert found["reader"].startswith("llama.cpp")
    assert found["mean_drift"] < 0.01
    (unchecked,) = done.parity["unchecked"]
    assert left_out in unchecked


@pytest.mark.skipif(not has_llama_cpp(), reason="llama.cpp is not installed")
def test_biases_are_turned_with_their_rows_and_rows_without_a_token_are_named(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path
) -> None:
    import gguf

    run = make_run(make_model("llama", attention_bias=True, vocab_size=320))
    q = run.policy.causal.model.layers[1].self_attn.q_proj
    draws = torch.Generator().manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_pretrained(run.config.model.path)
    for layer in base.model.layers:  # biases begin at zero, which any order leaves as it is
        layer.self_attn.q_proj.bias.data.normal_(generator=draws)
        layer.self_attn.k_proj.bias.data.normal_(generator=draws)
    base.save_pretrained(run.config.model.path)
    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32")
    assert [one["reader"].split()[0] for one in done.parity["programs"]] == ["llama.cpp"]
    assert "the order of rows in q's and k's biases" in done.parity["unchecked"][0]
    (file,) = done.folder.glob("*.gguf")
    reader = gguf.GGUFReader(file)
    tensors = {one.name: torch.tensor(one.data) for one in reader.tensors}
    merged = q.weight.detach() + q.get_delta_weight("default").detach()
    for ours, given in (
        (tensors["blk.1.attn_q.weight"], merged),
        (tensors["blk.1.attn_q.bias"], base.model.layers[1].self_attn.q_proj.bias.detach()),
        (tensors["blk.1.attn_k.bias"], base.model.layers[1].self_attn.k_proj.bias.detach()),
    ):
        for row in range(given.shape[0]):  # heads of 32 rows: row i of a half becomes row 2 i, of the other 2 i + 1
            head, place = divmod(row, 32)
            half, within = divmod(place, 16)
            torch.testing.assert_close(ours[head * 32 + 2 * within + half], given[row], rtol=0, atol=1e-6)
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    assert (len(tokens), tokens[-1]) == (320, "[PAD319]")
    assert "output.weight" not in tensors


@pytest.mark.skipif(not has_llama_cpp(), reason="llama.cpp is not installed")
def test_types_with_k_are_packed_by_llama_cpp_itself(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path
) -> None:
    import gguf

    run = make_run(make_model("llama", hidden_size=256))
    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="q4_k_m", max_drift=3.0)
    tensors = {one.name: one for one in gguf.GGUFReader(next(done.folder.glob("*.gguf"))).tensors}
    kinds = {name: one.tensor_type.name for name, one in tensors.items()}
    assert kinds["blk.0.attn_q.weight"] == "Q4_K"
    assert kinds["blk.1.attn_v.weight"] == "Q6_K"
    assert kinds["token_embd.weight"] == "Q6_K"  # the head, too
    assert kinds["blk.0.ffn_down.weight"] == "Q5_0"  # rows of 128 numbers
    packed = tensors["blk.0.ffn_up.weight"]
    layer = run.policy.causal.model.layers[0].mlp.up_proj
    exact = layer.weight.detach() + layer.get_delta_weight("default").detach()
    unpacked = torch.tensor(gguf.quants.dequantize(packed.data, packed.tensor_type))
    assert 0.01 < (unpacked - exact).norm() / exact.norm() < 0.1


def test_each_tensor_of_a_file_with_k_has_the_type_that_llama_quantize_gives_it() -> None:
    from lydite.exports.gguf_types import tensor_type

    def kinds(outtype: str, part: str, layers: int = 32, row: int = 4096) -> str:
        made = [
            tensor_type(outtype, f"blk.{one}.{part}.weight", (8, row), layers=layers, tied=False)
            for one in range(layers)
        ]
        return "".join(one[1] for one in made)

    # As in published files of Llama 3 8B: the first four layers, the last four, and every third one.
    assert kinds("q4_k_m", "attn_v") == kinds("q4_k_m", "ffn_down") == "66664464464464464464464464466666"
    assert kinds("q5_k_m", "attn_v") == "66665565565565565565565565566666"
    assert set(kinds("q4_k_m", "attn_q")) == {"4"}
    assert set(kinds("q6_k", "attn_k")) == {"6"}
    assert set(kinds("q4_k_m", "attn_qkv")) == {"5"}
    assert set(kinds("q5_k_m", "attn_qkv")) == set(kinds("q6_k", "attn_qkv")) == {"6"}
    assert set(kinds("q4_k_m", "attn_q", row=576)) == {"5"}
    assert tensor_type("q4_k_m", "output.weight", (8, 256), layers=4, tied=False) == "Q6_K"
    assert tensor_type("q4_k_m", "token_embd.weight", (8, 256), layers=4, tied=False) == "Q4_K"
    assert tensor_type("q4_k_m", "token_embd.weight", (8, 576), layers=4, tied=True) == "Q8_0"
    assert tensor_type("q4_k_m", "blk.0.attn_q.weight", (8, 20), layers=4, tied=True) == "F16"
    assert tensor_type("q4_k_m", "output_norm.weight", (256,), layers=4, tied=True) == "F32"
