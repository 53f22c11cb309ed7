"""What is counted without weights is what is there once they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from support.tiny_gguf import write_tiny_gguf

from lydite.config import LoraConfig, ModelConfig
from lydite.errors import ModelError
from lydite.planner import ModelShapes, shapes_of_config, shapes_of_policy
from lydite.planner.parts import adapter_parameters
from lydite.planner.source import shapes_of_source
from lydite.plugins import load_plugins
from lydite.policy.nf4 import is_nf4

Load = Callable[..., Any]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "granite"])
def test_parameters_and_adapter_are_those_of_the_loaded_policy(load: Load, architecture: str) -> None:
    config, policy = load(architecture, lora={"r": 4})
    shapes = shapes_of_policy(policy)
    base = sum(one.numel() for one in policy.model.parameters() if not one.requires_grad)
    assert shapes.parameters == base
    assert adapter_parameters(config, shapes) == sum(one.numel() for one in policy.trainable().values())
    text = policy.config.get_text_config(decoder=True)
    assert (shapes.hidden, shapes.layers, shapes.vocab) == (
        text.hidden_size, text.num_hidden_layers, policy.head().weight.shape[0],
    )  # fmt: skip
    tied = policy.head().weight is policy.causal.get_input_embeddings().weight
    assert (shapes.head == 0) == tied


def test_the_source_says_what_the_loaded_model_does(load: Load, tiny: Callable[[str], Path]) -> None:
    _, policy = load("qwen3")
    plugins = load_plugins(allow=("lydite-families",))
    read = shapes_of_source(ModelConfig(path=str(tiny("qwen3"))), plugins)
    assert read == shapes_of_policy(policy)
    assert read.family_targets


def test_weights_are_not_read(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    for file in tiny("llama").iterdir():
        (tmp_path / file.name).write_bytes(b"not weights" if file.suffix == ".safetensors" else file.read_bytes())
    assert shapes_of_source(ModelConfig(path=str(tmp_path)), load_plugins(allow=())).layers == 3


def test_a_gguf_file_says_the_same(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    write_tiny_gguf(tiny("llama"), tmp_path / "tiny.gguf")
    plugins = load_plugins(allow=())
    packed = shapes_of_source(ModelConfig(path=str(tmp_path)), plugins)
    plain = shapes_of_source(ModelConfig(path=str(tiny("llama"))), plugins)
    assert (packed.parameters, packed.linears, packed.head) == (plain.parameters, plain.linears, plain.head)
    assert packed.context_length == plain.context_length == 512


def test_a_configuration_that_is_none_is_named(tmp_path: Path) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.json").write_text('{"model_type": "no such architecture"}')
    with pytest.raises(ModelError, match=r"its configuration cannot be read"):
        shapes_of_source(ModelConfig(path=str(tmp_path)), load_plugins(allow=()))


def test_8b_has_its_published_sizes(llama_8b: ModelShapes) -> None:
    assert llama_8b.parameters == 8_030_261_248
    assert len(llama_8b.linears) == 32 * 7
    assert llama_8b.head == llama_8b.embedding == 128256 * 4096
    assert llama_8b.other == (2 * 32 + 1) * 4096
    assert llama_8b.norm_width == (2 * 32 + 1) * 4096


def test_the_given_configuration_stays_as_it_is() -> None:
    config = transformers.LlamaConfig(hidden_size=64, num_hidden_layers=1, num_attention_heads=4, vocab_size=100)
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    before = config.to_dict()
    shapes_of_config(config)
    assert config.to_dict() == before


def test_norms_of_heads_run_over_every_head(load: Load) -> None:
    shapes = shapes_of_policy(load("qwen3")[1])
    # input, post-attention, final; q_norm over 4 heads of 8 and k_norm over 2
    assert shapes.norm_width == 3 * (2 * 64 + (4 + 2) * 8) + 64


def test_layers_without_a_growing_cache_are_left_out(load: Load) -> None:
    shapes = shapes_of_policy(load("qwen3_next")[1])
    assert (shapes.layers, shapes.attention_layers) == (3, 1)


@pytest.mark.parametrize("targets", [("q_proj",), ("self_attn.v_proj", "down_proj"), ()])
def test_targets_are_those_that_peft_adapts(load: Load, targets: tuple[str, ...]) -> None:
    from lydite.policy.adapter import adapted_layers

    _, policy = load("llama", lora={"r": 2, "target_modules": targets})
    adapted = shapes_of_policy(policy).adapted(LoraConfig(target_modules=targets))
    found = [(int(one.out_features), int(one.in_features)) for one in adapted_layers(policy.model)]
    assert [(one.rows, one.columns) for one in adapted] == found


@pytest.mark.parametrize("kept", [(), ("layers.0.", "down_proj")])
def test_what_is_packed_is_what_policy_packs(load: Load, kept: tuple[str, ...]) -> None:
    config, policy = load("llama", model={"quantization": "nf4", "keep_16bit": kept})
    packed = shapes_of_policy(policy).packed(config.model, on_cpu=True)
    found = [name for name, one in policy.model.named_modules() if is_nf4(one)]
    names = {name.partition("layers.")[2].removesuffix(".base_layer") for name in found}
    assert {one.name.partition("layers.")[2] for one in packed} == names


def test_nothing_is_packed_without_nf4(llama_8b: ModelShapes) -> None:
    assert llama_8b.packed(ModelConfig(path="none"), on_cpu=False) == ()


def test_a_familys_targets_are_taken_where_the_model_has_them(load: Load) -> None:
    _, policy = load("llama")
    shapes = shapes_of_config(policy.config, ("v_proj", "no_such_proj"))
    assert {one.name.rpartition(".")[2] for one in shapes.adapted(LoraConfig())} == {"v_proj"}
    own = LoraConfig(target_modules=("o_proj",))
    assert {one.name.rpartition(".")[2] for one in shapes.adapted(own)} == {"o_proj"}
