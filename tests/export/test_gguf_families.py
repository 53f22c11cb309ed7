"""Gemma 2, Gemma 3 and Phi 3 as GGUF files: their tensors, windows, caps, rotary tables and tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from support.tiny_sentencepiece import gemma_tokenizer, phi3_tokenizer

import lydite
from lydite.exports.gguf_architectures import architecture_of
from lydite.exports.gguf_limits import check_sayable
from lydite.exports.gguf_sentencepiece import merge_ranks, puts_space_in_front
from lydite.exports.gguf_tokenizer import model_name
from lydite.exports.gguf_writer import write_gguf
from lydite.exports.readers.llama_cpp import LlamaCppReader, has_llama_cpp
from lydite.exports.trained import load_trained
from lydite.exports.weights import chosen_weights
from lydite.policy.answers import answer_logps
from lydite.report.reader import read_run

with_llama_cpp = pytest.mark.skipif(not has_llama_cpp(), reason="llama.cpp is not installed")
# Heads of 256 numbers and these caps are what transformers takes for granted when it reads such a file.
USUAL: dict[str, dict[str, Any]] = {
    "gemma2": {
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 100,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3_text": {"head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 100, "layer_types": None},
    "phi3": {"sliding_window": None},
}


def reader_of(done: Any) -> Any:
    import gguf

    (file,) = done.folder.glob("*.gguf")
    return gguf.GGUFReader(file)


def field(reader: Any, name: str) -> Any:
    found = reader.get_field(name)
    return None if found is None else found.contents()


@pytest.mark.parametrize("model_type", ["gemma2", "gemma3_text", "phi3"])
def test_a_gguf_file_is_read_by_transformers_and_by_llama_cpp(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path, model_type: str
) -> None:
    run = make_run(make_model(model_type, **USUAL[model_type]))
    base = transformers.AutoModelForCausalLM.from_pretrained(run.config.model.path)
    draws = torch.Generator().manual_seed(0)
    for name, parameter in base.named_parameters():  # norms begin as if they were not there
        if "norm" in name:
            parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=draws))
    base.save_pretrained(run.config.model.path)
    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32")
    assert [one["mean_drift"] < 0.01 for one in done.parity["programs"]] == [True] * (1 + has_llama_cpp())
    assert all(one["equal_answers"] == one["same_tokens"] == 1.0 for one in done.parity["programs"])
    reader = reader_of(done)
    tensors = {one.name: torch.tensor(one.data) for one in reader.tensors}
    norm = base.model.layers[1].input_layernorm.weight.detach()
    shift = 0.0 if model_type == "phi3" else 1.0
    assert torch.equal(tensors["blk.1.attn_norm.weight"], norm + shift)
    if model_type == "phi3":
        q, rows = "blk.0.attn_qkv.weight", (4 + 2 * 2) * 32
        assert tensors["blk.0.ffn_up.weight"].shape == (2 * base.config.intermediate_size, 128)
        assert "blk.0.ffn_gate.weight" not in tensors
        assert field(reader, "phi3.attention.sliding_window") == 0
    else:
        q, rows = "blk.0.attn_q.weight", 4 * 256
        name = reader.get_field("general.architecture").contents()
        assert field(reader, f"{name}.attention.sliding_window") == 100
        assert field(reader, f"{name}.attention.sliding_window_pattern") is None
        assert field(reader, f"{name}.rope.freq_base_swa") == (10000.0 if name == "gemma3" else None)
        assert field(reader, f"{name}.final_logit_softcapping") == (None if name == "gemma3" else 30.0)
    assert tensors[q].shape == (rows, 128)


@with_llama_cpp
@pytest.mark.parametrize(
    ("model_type", "settings", "left_out"),
    [
        (
            "gemma2",
            {"layer_types": ["full_attention", "sliding_attention"], "attn_logit_softcapping": 5.0},
            "query_pre_attn_scalar = 32",
        ),
        (
            "gemma3_text",
            {
                "layer_types": ["full_attention", "sliding_attention"],
                "final_logit_softcapping": 3.0,
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
                },
            },
            "'linear'",
        ),
        (
            "phi3",
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}},
            "24 of a head's 32 numbers",
        ),
    ],
)
def test_llama_cpp_reads_what_transformers_leaves_out(
    make_model: Callable[..., Path],
    make_run: Callable[..., Any],
    tmp_path: Path,
    model_type: str,
    settings: dict[str, Any],
    left_out: str,
) -> None:
    own = {"sliding_window": None} if model_type == "phi3" else {"sliding_window": 50, "query_pre_attn_scalar": 32}
    run = make_run(make_model(model_type, **own, **settings))
    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32")
    (found,) = done.parity["programs"]
    near = 0.01 if model_type == "phi3" else 0.001  # Gemma's caps leave little of a mistake
    assert found["mean_drift"] < near
    assert found["long_drift"] is None or found["long_drift"] < near
    pattern = field(reader_of(done), f"{architecture_of(run.policy.config).name}.attention.sliding_window_pattern")
    assert pattern == (None if model_type == "phi3" else [False, True])
    assert left_out in done.parity["unchecked"][0]


@with_llama_cpp
def test_long_texts_have_their_own_rotary_factors(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0 + 0.1 * place for place in range(16)],
        "long_factor": [2.0 + 0.5 * place for place in range(16)],
    }
    sizes = {"sliding_window": None, "max_position_embeddings": 4096, "original_max_position_embeddings": 2048}
    with_short = make_run(make_model("phi3", rope_parameters={**rope, "factor": 2.0}, **sizes))
    done = lydite.export(with_short.folder, "gguf", out=tmp_path / "out", outtype="f32")
    assert done.parity["programs"][0]["mean_drift"] < 0.01
    assert field(reader_of(done), "phi3.rope.scaling.attn_factor") == pytest.approx((1 + 1 / 11) ** 0.5)
    assert "with -c 2048 short texts are read as they were trained" in caplog.text
    with_long = make_run(
        make_model("phi3", rope_parameters={**rope, "factor": 8.0}, **{**sizes, "original_max_position_embeddings": 64})
    )
    found = read_run(with_long.folder)
    trained = load_trained(found, chosen_weights(found, None), 5)
    file = tmp_path / "long.gguf"
    write_gguf(trained, file, "f32")
    prompt = trained.long_prompt[:200]
    (answer,) = LlamaCppReader(file, 300).answers([prompt], 6, trained.policy.stop_token_ids)
    ours = answer_logps(trained.policy, prompt, answer.token_ids)
    torch.testing.assert_close(torch.tensor(answer.logps, dtype=torch.float64), ours, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("model_type", "settings", "said"),
    [
        ("gemma2", {"query_pre_attn_scalar": 100}, r"divided by sqrt\(100\).*divides them by sqrt\(256\)"),
        ("gemma2", {"num_hidden_layers": 46}, r"divided by sqrt\(256\).*divides them by sqrt\(288\)"),
        ("gemma2", {"final_logit_softcapping": None}, "it has no final_logit_softcapping"),
        ("gemma2", {"tie_word_embeddings": False}, "its head is not its embedding"),
        ("gemma3_text", {"hidden_activation": "relu"}, "its activation is 'relu'"),
        ("gemma3_text", {"attention_bias": True}, "biases"),
        (
            "gemma3_text",
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}},
            "in its windows are scaled as 'linear'",
        ),
        ("phi3", {"hidden_act": "gelu"}, "its activation is 'gelu'"),
    ],
)
def test_what_no_gguf_file_says_is_refused(model_type: str, settings: dict[str, Any], said: str) -> None:
    usual = transformers.AutoConfig.for_model(model_type)
    check_sayable(usual, architecture_of(usual))
    config = transformers.AutoConfig.for_model(model_type, **settings)
    with pytest.raises(lydite.ConfigError, match=rf"as it was trained: .*{said}.*take --to merged"):
        check_sayable(config, architecture_of(config))


def test_a_model_that_sees_pictures_is_refused(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run(make_model("gemma3", layer_types=None))
    with pytest.raises(lydite.ConfigError, match=r"type 'gemma3' is more than a language model.*take --to merged"):
        lydite.export(run.folder, "gguf", out=tmp_path / "out")


@with_llama_cpp
@pytest.mark.parametrize("model_type", ["gemma2", "phi3"])
def test_a_tokenizer_of_sentencepiece_s_kind_is_read_the_same(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path, model_type: str
) -> None:
    tokenizer = gemma_tokenizer() if model_type == "gemma2" else phi3_tokenizer()
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model = make_model(model_type, **USUAL[model_type], **ends, vocab_size=len(tokenizer) + 3)
    tokenizer.save_pretrained(model)
    done = lydite.export(make_run(model).folder, "gguf", out=tmp_path / "out", outtype="f32")
    names = [one["reader"].split()[0] for one in done.parity["programs"]]
    assert names == (["transformers", "llama.cpp"] if model_type == "gemma2" else ["llama.cpp"])
    assert all(one["same_tokens"] == 1.0 and one["same_chat"] for one in done.parity["programs"])
    reader = reader_of(done)
    tokens, scores = (field(reader, f"tokenizer.ggml.{one}") for one in ("tokens", "scores"))
    assert field(reader, "tokenizer.ggml.model") == "llama"
    assert field(reader, "tokenizer.ggml.add_space_prefix") is (model_type == "phi3")
    assert field(reader, "general.name") == ("sums" if model_type == "gemma2" else "sums (Phi-3)")
    assert scores[tokens.index("\u2581W")] > scores[tokens.index("\u2581Wh")] > scores[tokens.index("<unk>")]
    assert tokens[-1] == f"[PAD{len(tokenizer) + 2}]"
    if model_type == "gemma2":
        assert tokens[tokenizer.convert_tokens_to_ids("\u2581\u2581")] == "  "


def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused() -> None:
    inner = json.loads(gemma_tokenizer().backend_tokenizer.to_str())
    merges = inner["model"]["merges"]
    assert len(merge_ranks(inner)) < len(merges)
    one_way = {**inner, "model": {**inner["model"], "merges": [one for one in merges if list(one) != ["\u2581", "a"]]}}
    with pytest.raises(
        lydite.ConfigError, match=r"of 0 pairs of tokens, and llama.cpp would make it of 1.*--converter"
    ):
        merge_ranks(one_way)
    torn = {**inner, "model": {**inner["model"], "merges": [*merges, merges[0]]}}
    with pytest.raises(lydite.ConfigError, match="joins other tokens between two pairs"):
        merge_ranks(torn)
    with pytest.raises(lydite.ConfigError, match=r"not known here \(NFKC\)"):
        puts_space_in_front({**inner, "normalizer": {"type": "NFKC"}}, has_template=True)
    for scheme, has_template, expected in (("always", True, True), ("first", True, False), ("first", False, True)):
        spaces = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": False}
        asked = {**inner, "normalizer": None, "pre_tokenizer": spaces}
        assert puts_space_in_front(asked, has_template=has_template) is expected


def test_llama_cpp_takes_a_model_for_phi_3_by_its_name() -> None:
    phi, gemma = phi3_tokenizer(), gemma_tokenizer()
    assert model_name("sums", phi) == "sums (Phi-3)"
    assert model_name("my-Phi-3-sums", phi) == "my-Phi-3-sums"
    assert model_name("my-Phi-3-sums", gemma) == "my-Phi 3-sums"  # without Phi 3's marks llama.cpp fails on that name
    assert model_name("phi3", gemma) == "phi 3"
