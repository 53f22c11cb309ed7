"""The base in 4 bit, on a CPU: what is packed, what it computes, what stays in 16 bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.tiny_gguf import write_tiny_gguf
from support.tiny_model import make_tiny_model
from torch import nn

from lydite.config import LoraConfig
from lydite.errors import ConfigError
from lydite.policy import Policy
from lydite.policy.gguf import CACHE_VARIABLE
from lydite.policy.nf4 import is_nf4

Load = Callable[..., Policy]
Tokens = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# Quantiles of the normal distribution, scaled to [-1, 1]: appendix E of the QLoRA paper, to four digits.
NF4 = (
    *(-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0),
    *(0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0),
)


def packed_names(policy: Policy) -> set[str]:
    """Names of the packed layers from the number of their decoder layer on."""
    named = policy.model.named_modules()
    return {name.removesuffix(".base_layer").partition("layers.")[2] for name, one in named if is_nf4(one)}


def test_every_linear_layer_but_the_head_is_packed(load: Load) -> None:
    policy = load(quantization="nf4")
    assert len(packed_names(policy)) == 3 * 7
    assert not is_nf4(policy.model.get_output_embeddings())
    assert policy.head().weight.dtype is torch.float32


def test_weights_are_rounded_to_the_sixteen_levels_of_their_block(load: Load) -> None:
    plain, policy = load(), load(quantization="nf4")
    layers = dict(plain.model.named_modules())
    levels = torch.tensor(NF4)
    for name, module in policy.model.named_modules():
        if not is_nf4(module):
            continue
        assert module.weight.dtype is torch.uint8
        assert (module.weight.quant_state.blocksize, module.weight.quant_state.quant_type) == (64, "nf4")
        assert module.weight.quant_state.nested, "double quantisation"
        weight = layers[name].weight.detach()
        blocks = weight.reshape(-1, 64)
        scale = blocks.abs().amax(1, keepdim=True)
        nearest = (blocks / scale).unsqueeze(-1).sub(levels).abs().argmin(-1)
        expected = (levels[nearest] * scale).reshape(weight.shape)
        rows = torch.eye(weight.shape[1])
        with torch.no_grad():
            got = module(rows).T
        # The scales themselves are 8-bit, which moves each block by less than this; a weight between two levels
        # may go to either.
        slack = 0.02 * float(scale.max())
        assert bool(((got - weight).abs() <= (expected - weight).abs() + slack).all())
        on_level = (got - expected).abs() <= slack
        assert float(on_level.float().mean()) > 0.995
        assert float((got - weight).abs().mean()) < 0.1 * float(weight.abs().mean())


def test_layers_that_are_kept_stay_as_they_were(load: Load) -> None:
    plain, policy = load(), load(quantization="nf4", keep_16bit=("layers.0.", "down_proj"))
    expected = {f"{layer}.{part}" for layer in (1, 2) for part in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
    )}  # fmt: skip
    assert packed_names(policy) == expected
    layers = dict(plain.model.named_modules())
    for name, module in policy.model.named_modules():
        if isinstance(module, nn.Linear) and name.endswith("down_proj.base_layer"):
            torch.testing.assert_close(module.weight, layers[name].weight, rtol=0, atol=0)


def test_rows_that_do_not_divide_into_blocks_are_not_packed_on_a_cpu(load: Load, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path, settings={"intermediate_size": 96})
    names = {name.rpartition(".")[2] for name in packed_names(load(quantization="nf4", path=str(folder)))}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"}


def test_what_names_no_layer_or_leaves_none_is_an_error(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"keep_16bit: 'layers.7.' is in no linear layer's name \(they are model"):
        load(quantization="nf4", keep_16bit=("layers.7.",))
    with pytest.raises(ConfigError, match="no linear layer is left to quantise"):
        load(quantization="nf4", keep_16bit=("proj",))


def test_an_update_trains_the_adapter_and_leaves_the_packed_base(load: Load, tokens: Tokens) -> None:
    policy = load(quantization="nf4", dtype="bfloat16", trained=True)
    before = {name: one.detach().clone() for name, one in policy.model.named_parameters()}
    optimizer = torch.optim.SGD(policy.trainable().values(), lr=0.1)
    policy.hidden_states(*tokens).float().square().mean().backward()
    optimizer.step()
    changed = {name for name, one in policy.model.named_parameters() if not torch.equal(one, before[name])}
    assert changed == set(policy.trainable())


def test_decoding_multiplies_by_the_same_numbers(load: Load, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load(quantization="nf4", dtype="bfloat16", trained=True)
    unpackings = count_unpackings(monkeypatch)
    with torch.no_grad():
        packed = policy.hidden_states(*tokens)
        per_pass = len(unpackings)
        with policy.sampling():
            unpackings.clear()
            unpacked = policy.hidden_states(*tokens)
            assert not unpackings, "the copies are used"
        again = policy.hidden_states(*tokens)
    assert len(unpackings) == per_pass > 0
    torch.testing.assert_close(unpacked, packed, rtol=0, atol=0)
    torch.testing.assert_close(again, packed, rtol=0, atol=0)
    assert packed_names(policy), "still packed"


def count_unpackings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from bitsandbytes import functional

    calls: list[int] = []
    original = functional.dequantize_4bit

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(functional, "dequantize_4bit", counted)
    return calls


def test_without_room_for_copies_the_packed_weights_are_used(
    load: Load, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    policy = load(quantization="nf4", dtype="bfloat16", trained=True)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    unpackings = count_unpackings(monkeypatch)
    with torch.no_grad(), policy.sampling():
        policy.hidden_states(*tokens)
    assert len(unpackings) == 3 * 7


def test_gguf_weights_can_be_packed_too(
    load: Load, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: Tokens
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    file = write_tiny_gguf(folder, tmp_path / "tiny.gguf")
    ours, plain = load(quantization="nf4", path=str(file)), load(quantization="nf4")
    assert packed_names(ours) == packed_names(plain)
    with torch.no_grad():
        torch.testing.assert_close(ours.hidden_states(*tokens), plain.hidden_states(*tokens), rtol=1e-4, atol=1e-4)


def test_a_qlora_adapter_loads_onto_the_plain_base(load: Load, tmp_path: Path, tokens: Tokens) -> None:
    policy = load(quantization="nf4", trained=True)
    policy.save_adapter(tmp_path)
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "adapter_model.safetensors")
    own = {name.replace(".default.", "."): value for name, value in policy.adapter_state().items()}
    assert saved.keys() == own.keys()
    assert all(torch.equal(saved[name], own[name]) for name in own)


def test_memory_is_about_half_a_byte_a_weight(load: Load) -> None:
    policy = load(quantization="nf4", lora=LoraConfig(r=1))
    for module in policy.model.modules():
        if is_nf4(module):
            count = math.prod(module.weight.quant_state.shape)
            assert module.weight.numel() == count // 2
