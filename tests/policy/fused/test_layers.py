"""Models whose layers are fused against the same models with the layers of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model
from torch import Tensor

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import Plugins
from lydite.policy import Policy, load_policy
from lydite.policy.activations import Activations

FAMILIES = ("llama", "smollm3", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text", "granite")
Tokens = tuple[Tensor, Tensor, Tensor]
Pair = Callable[..., tuple[Policy, Policy]]


@pytest.fixture
def pair(tmp_path: Path, no_plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """The same model twice, with a trained adapter: fused, and as transformers computes it."""

    def make(architecture: str = "llama", *, lora: LoraConfig | None = None, **model: Any) -> tuple[Policy, Policy]:
        # Without this every layer of so small a SmolLM3 rotates.
        settings = {"no_rope_layers": [1, 0, 1]} if architecture == "smollm3" else {}
        folder = make_tiny_model(tmp_path, architecture, settings=settings)
        config = ModelConfig(**{"path": str(folder), "dtype": "float32", "device": "cpu", **model})
        made = []
        for off in ("", "layers"):
            monkeypatch.setenv("LYDITE_KERNELS", off)
            policy = load_policy(config, lora or LoraConfig(r=4, alpha=8), no_plugins, 0)
            draws = torch.Generator().manual_seed(3)
            for name, parameter in policy.causal.named_parameters():
                if "lora_B" in name:
                    parameter.data = 0.1 * torch.randn(parameter.shape, generator=draws)
                elif "norm" in name:
                    parameter.data += 0.3 * torch.randn(parameter.shape, generator=draws).to(parameter.dtype)
            made.append(policy)
        monkeypatch.setenv("LYDITE_KERNELS", "")
        assert all(fused_layers(made[0]))
        assert not any(fused_layers(made[1]))
        return made[0], made[1]

    return make


def fused_layers(policy: Policy) -> list[bool]:
    """For each attention, MLP and norm layer, whether another forward was put onto it."""
    kinds = ("Attention", "MLP", "RMSNorm")
    return ["forward" in vars(one) for one in policy.causal.modules() if type(one).__name__.endswith(kinds)]


def learned(policy: Policy, tokens: Tokens) -> tuple[Tensor, dict[str, Tensor]]:
    """Hidden states of what is no padding, and the gradient of every A and B for a loss of them."""
    mask = tokens[1].bool()
    hidden = policy.hidden_states(*tokens)[mask]
    weights = torch.linspace(-1.0, 1.0, hidden.numel()).view(hidden.shape)
    (hidden.float() * weights).sum().backward()
    found = {name: one.grad for name, one in policy.trainable().items() if one.grad is not None}
    assert found.keys() == policy.trainable().keys()
    return hidden.detach().float(), found


def assert_same(fused: Policy, plain: Policy, tokens: Tokens, tolerance: float) -> None:
    hidden, gradients = learned(fused, tokens)
    expected, by_name = learned(plain, tokens)
    assert_near(hidden, expected, tolerance)
    for name, one in gradients.items():
        assert_near(one, by_name[name], tolerance)


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert float((found - expected).norm()) <= tolerance * float(expected.norm())


@pytest.mark.parametrize("architecture", FAMILIES)
def test_gradients_are_those_of_the_layers_one_by_one(architecture: str, pair: Pair, tokens: Tokens) -> None:
    assert_same(*pair(architecture), tokens, 2e-5)


# 16-bit products round by their order: three layers of a model with random weights of 0.2 make a few per cent of it.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("bfloat16", 0.06)])
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "phi3"])
def test_with_packed_weights(architecture: str, dtype: str, tolerance: float, pair: Pair, tokens: Tokens) -> None:
    assert_same(*pair(architecture, dtype=dtype, quantization="nf4"), tokens, tolerance)


def test_some_targets_alone(pair: Pair, tokens: Tokens) -> None:
    assert_same(*pair(lora=LoraConfig(r=4, target_modules=("v_proj", "down_proj"))), tokens, 2e-5)
    assert_same(*pair("qwen3", lora=LoraConfig(r=4, target_modules=("o_proj", "up_proj"))), tokens, 2e-5)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_layers_computed_again_give_the_same_gradients(architecture: str, pair: Pair, tokens: Tokens) -> None:
    fused, plain = pair(architecture)
    activations = Activations(fused)
    activations.recompute(activations.layers)
    fused.train_mode()
    assert_same(fused, plain, tokens, 2e-5)


def test_the_reference_is_the_base(pair: Pair, tokens: Tokens) -> None:
    fused, plain = pair("llama")
    with fused.reference(), plain.reference(), torch.no_grad():
        found, expected = fused.hidden_states(*tokens), plain.hidden_states(*tokens)
    trained = fused.hidden_states(*tokens)
    assert_near(found, expected, 1e-5)
    assert not torch.allclose(trained, found, atol=1e-3)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_decoding_with_a_cache_draws_the_same(quantization: str, pair: Pair) -> None:
    fused, plain = pair("qwen2", quantization=quantization)
    prompts = ["What is 2 + 3?", "Name a colour."]
    assert fused.generate(prompts, max_new_tokens=6) == plain.generate(prompts, max_new_tokens=6)


def test_dropout_is_drawn_as_ever(pair: Pair, tokens: Tokens) -> None:
    fused, plain = pair(lora=LoraConfig(r=4, dropout=0.5))
    for policy in (fused, plain):
        policy.train_mode()
    with seeded():
        found = learned(fused, tokens)
    with seeded():
        expected = learned(plain, tokens)
    assert_near(found[0], expected[0], 1e-5)
    for name, one in found[1].items():
        assert_near(one, expected[1][name], 2e-5)


def test_a_layers_mlp_keeps_a_third_less(pair: Pair, tokens: Tokens) -> None:
    wide = 128 * tokens[0].numel()  # an MLP's hidden numbers

    def hidden_products(policy: Policy) -> int:
        storages: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.numel() == wide:
                storages.setdefault(tensor.untyped_storage().data_ptr(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            hidden = policy.hidden_states(*tokens)
        assert hidden.requires_grad
        return len(storages)

    fused, plain = pair()
    assert hidden_products(fused) == 3 * 2, "gate and up of three layers"
    assert hidden_products(plain) >= 3 * 3


@contextmanager
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
