"""Each target, opened again by the programs that people use it with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import lydite
from lydite.exports.readers.llama_cpp import has_llama_cpp
from lydite.policy import Policy
from lydite.policy.answers import answer_logps
from lydite.policy.quiet import without_chatter

PROMPT, ANSWER = (5, 6, 7, 8, 9, 10), (11, 12, 13)


def logps_of(model: Any) -> torch.Tensor:
    """The plain reference: log-probabilities of the answer by the model's own forward."""
    ids = torch.tensor([[*PROMPT, *ANSWER]])
    with torch.no_grad():
        logps = model(input_ids=ids).logits[0, len(PROMPT) - 1 : -1].float().log_softmax(-1)
    return logps.gather(1, ids[0, len(PROMPT) :, None])[:, 0].double()


def policys(policy: Policy) -> torch.Tensor:
    return answer_logps(policy, PROMPT, ANSWER)


def test_an_adapter_is_peft_s(run: Any, tmp_path: Path) -> None:
    import peft

    done = lydite.export(run.folder, "adapter", out=tmp_path / "out")
    base = transformers.AutoModelForCausalLM.from_pretrained(run.config.model.path)
    with without_chatter():  # peft asks transformers for what that is about to rename
        model = peft.PeftModel.from_pretrained(base, str(done.folder))
    torch.testing.assert_close(logps_of(model), policys(run.policy), rtol=0, atol=1e-4)
    assert transformers.AutoTokenizer.from_pretrained(done.folder).chat_template == run.policy.tokenizer.chat_template


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-5), ("float16", 5e-3), ("bfloat16", 5e-2)])
def test_a_merged_model_is_an_ordinary_one(run: Any, tmp_path: Path, dtype: str, near: float) -> None:
    done = lydite.export(run.folder, "merged", out=tmp_path / "out", dtype=dtype)  # type: ignore[arg-type]
    model = transformers.AutoModelForCausalLM.from_pretrained(done.folder, dtype="auto")
    assert model.dtype is getattr(torch, dtype)
    assert (logps_of(model.float()) - policys(run.policy)).abs().mean() < near
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()  # tied, as the base has it
    assert model.generation_config.eos_token_id == list(run.policy.stop_token_ids)
    tokenizer = transformers.AutoTokenizer.from_pretrained(done.folder)
    assert tokenizer.chat_template == run.policy.tokenizer.chat_template


def test_every_weight_that_was_trained_leaves_as_merged(make_run: Callable[..., Any], tmp_path: Path) -> None:
    whole = make_run(lora={"enabled": False})
    done = lydite.export(whole.folder, "merged", out=tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(done.folder, dtype=torch.float32)
    torch.testing.assert_close(logps_of(model), policys(whole.policy), rtol=0, atol=1e-4)
    with pytest.raises(lydite.ConfigError, match="no adapter; take --to merged"):
        lydite.export(whole.folder, "adapter", out=tmp_path / "adapter")


@pytest.mark.parametrize("target", ["adapter", "merged"])
def test_four_bit_weights_are_unpacked_as_the_policy_multiplies_by_them(
    make_run: Callable[..., Any], tmp_path: Path, target: Any
) -> None:
    packed = make_run(quantization="nf4")
    done = lydite.export(packed.folder, target, out=tmp_path / "out")
    assert done.parity["programs"][0]["mean_drift"] < 1e-4
    if target == "merged":
        model = transformers.AutoModelForCausalLM.from_pretrained(done.folder, dtype=torch.float32)
        assert not hasattr(model.config, "quantization_config")
        torch.testing.assert_close(logps_of(model), policys(packed.policy), rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_gguf_file_is_read_by_transformers_and_by_llama_cpp(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path, architecture: str
) -> None:
    # What their real models have, and transformers takes for granted when it reads a GGUF file.
    settings: dict[str, Any] = {"mistral": {"sliding_window": None}, "qwen3": {"head_dim": 128}}.get(architecture, {})
    done = lydite.export(
        make_run(make_model(architecture, **settings)).folder, "gguf", out=tmp_path / "out", outtype="f32"
    )
    assert [one["mean_drift"] < 0.01 for one in done.parity["programs"]] == [True] * (1 + has_llama_cpp())
    assert all(one["equal_answers"] == 1.0 for one in done.parity["programs"])
    assert done.parity["programs"][0]["same_tokens"] == 1.0
    (file,) = done.folder.glob("*.gguf")
    assert file.name == "sums-F32.gguf"
    import gguf

    reader = gguf.GGUFReader(file)
    tied = architecture in ("llama", "qwen2")
    assert ("output.weight" in {one.name for one in reader.tensors}) is not tied
    assert reader.get_field("tokenizer.chat_template").contents() == run_template(done.folder.parent, file)


def run_template(folder: Path, file: Path) -> str:
    with without_chatter():
        return str(transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).chat_template)


@pytest.mark.usefixtures("without_llama_cpp")
@pytest.mark.parametrize(("outtype", "kept"), [("f16", "F16"), ("bf16", "BF16"), ("q8_0", "Q8_0"), ("q4_0", "Q4_0")])
def test_matrices_of_a_gguf_file_are_kept_in_the_type_that_was_asked_for(
    run: Any, tmp_path: Path, outtype: str, kept: str
) -> None:
    import gguf

    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype=outtype, max_drift=2.0)
    (file,) = done.folder.glob("*.gguf")
    types = {one.name: one.tensor_type.name for one in gguf.GGUFReader(file).tensors}
    assert types["blk.0.attn_q.weight"] == kept
    assert types["blk.0.attn_norm.weight"] == "F32"
    assert types["token_embd.weight"] == ("Q8_0" if outtype == "q4_0" else kept)


@pytest.mark.usefixtures("without_llama_cpp")
def test_a_base_from_gguf_lends_its_metadata(run: Any, make_run: Callable[..., Any], tmp_path: Path) -> None:
    import gguf
    from support.tiny_gguf import write_tiny_gguf

    packed = write_tiny_gguf(Path(run.config.model.path), tmp_path / "base.gguf")
    done = lydite.export(make_run(packed).folder, "gguf", out=tmp_path / "out", outtype="f32")
    (file,) = done.folder.glob("*.gguf")
    base, ours = gguf.GGUFReader(packed), gguf.GGUFReader(file)
    for field in base.fields.values():
        if field.name.startswith(("llama.", "tokenizer.")):
            assert ours.get_field(field.name).contents() == field.contents()
    assert ours.get_field("general.name").contents() == "sums"


def test_llama_3_s_rotary_factors_are_those_of_transformers(
    make_model: Callable[..., Path], make_run: Callable[..., Any], tmp_path: Path
) -> None:
    scaled = {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    run = make_run(make_model("llama", rope_parameters=scaled))
    from lydite.exports.gguf_rope import rope_factors

    (factors,) = rope_factors(run.policy.config).values()
    rotary = run.policy.causal.model.rotary_emb
    plain = 500.0 ** -(torch.arange(0, 32, 2).float() / 32)
    torch.testing.assert_close(plain / factors, rotary.inv_freq)
    assert len(set(factors.tolist())) > 3
    if has_llama_cpp():  # which reads the factors of a GGUF file; transformers does not
        done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32")
        assert [one["reader"].split()[0] for one in done.parity["programs"]] == ["llama.cpp"]


LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (None, "gpt-2"),
        ({"type": "Digits", "individual_digits": True}, "smollm"),
        ({"type": "Split", "pattern": {"Regex": LETTERS + r"|\p{N}{1,3}| ?"}}, "llama-bpe"),
        ({"type": "Split", "pattern": {"Regex": LETTERS + r"|\p{N}| ?"}}, "qwen2"),
    ],
)
def test_ways_of_splitting_text_have_llama_cpp_s_names(first: dict[str, Any] | None, name: str) -> None:
    from lydite.exports.gguf_tokenizer import splitting

    bytes_ = {"type": "ByteLevel", "use_regex": first is None or first["type"] != "Split"}
    steps = [bytes_] if first is None else [first, bytes_]
    assert splitting({"type": "Sequence", "pretokenizers": steps}) == name
    with pytest.raises(lydite.ConfigError, match="splits text in a way that is not known"):
        splitting({"type": "Sequence", "pretokenizers": [*steps, {"type": "Whitespace"}]})


@pytest.mark.usefixtures("without_llama_cpp")
def test_llama_cpp_s_own_converter_can_write_the_file(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lydite.export(run.folder, "gguf", out=tmp_path / "made", outtype="f32")
    converter = tmp_path / "convert_hf_to_gguf.py"
    converter.write_text(CONVERTER.format(made=next(made.folder.glob("*.gguf"))))
    done = lydite.export(run.folder, "gguf", out=tmp_path / "out", outtype="f32", converter=converter)
    assert done.parity["programs"][0]["mean_drift"] < 1e-4
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked["rest"] == ["--outtype", "f32", "--model-name", "sums"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= set(asked["given"])
    converter.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    named = lydite.export(run.folder, "gguf", out=tmp_path / "named", outtype="f32", converter=converter.name)
    assert named.folder.is_dir()
    program = tmp_path / "convert"
    program.write_text(f"#!{sys.executable}\n{converter.read_text()}")
    program.chmod(0o755)
    assert lydite.export(run.folder, "gguf", out=tmp_path / "run", outtype="f32", converter="convert").folder.is_dir()
    converter.write_text("import no_such_package.inner")
    with pytest.raises(lydite.LyditeError, match="which lacks no_such_package: pip install no_such_package"):
        lydite.export(run.folder, "gguf", out=tmp_path / "other", outtype="f32", converter=converter)
    converter.write_text("import sys; print('no such architecture', file=sys.stderr); sys.exit(3)")
    with pytest.raises(lydite.LyditeError, match="exit code 3:\nno such architecture"):
        lydite.export(run.folder, "gguf", out=tmp_path / "other", outtype="f32", converter=converter)
    assert not (tmp_path / "other").exists()


CONVERTER = """
import json, shutil, sys
from pathlib import Path
folder, _, file, *rest = sys.argv[1:]
given = sorted(one.name for one in Path(folder).iterdir())
Path(__file__).with_name("asked.json").write_text(json.dumps({{"rest": rest, "given": given}}))
shutil.copy('{made}', file)
"""
"""Stands for llama.cpp's converter: called as that is, and with a file ready."""
