"""Which layers get a fused forward, and which are left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import Plugins
from lydite.policy import Policy, load_policy
from lydite.policy.adapter import Switch
from lydite.policy.fused import FusedLayers, install_fused_layers
from lydite.policy.fused.trial import differs
from lydite.policy.policy import trunk_of

Load = Callable[..., Policy]


@pytest.fixture
def untouched(load: Load, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The trunk of a model that nothing was installed on."""

    def make(**settings: Any) -> Any:
        monkeypatch.setenv("LYDITE_KERNELS", "layers")
        policy = load(**settings)
        monkeypatch.delenv("LYDITE_KERNELS")
        return trunk_of(policy.causal)

    return make


def install(trunk: Any) -> dict[str, FusedLayers]:
    return {one.name: one for one in install_fused_layers(trunk, Switch())}


def test_every_layer_of_a_known_model(untouched: Callable[..., Any]) -> None:
    assert [str(one) for one in install(untouched()).values()] == [
        "LlamaAttention: 3 of 3 fused",
        "LlamaMLP: 3 of 3 fused",
        "LlamaRMSNorm: 7 of 7 fused",
    ]


def test_an_unknown_architecture_is_left_alone(tmp_path: Path, no_plugins: Plugins) -> None:
    folder = make_tiny_model(tmp_path, "cohere")
    policy = load_policy(ModelConfig(path=str(folder), dtype="float32"), LoraConfig(r=2), no_plugins, 0)
    assert install(trunk_of(policy.causal)) == {}


@pytest.mark.parametrize("value", ["off", "layers", "nf4_linear,layers"])
def test_the_environment_turns_them_off(
    value: str, untouched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = untouched()
    monkeypatch.setenv("LYDITE_KERNELS", value)
    assert install(trunk) == {}
    assert not any("forward" in vars(one) for one in trunk.modules() if isinstance(one, LlamaMLP | LlamaRMSNorm))


def test_a_layer_that_disagrees_is_left_alone_and_told_of(
    untouched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: own(self, x) * 1.01)
    trunk = untouched()
    with caplog.at_level(logging.WARNING, "lydite"):
        states = install(trunk)
    assert (states["LlamaMLP"].fused, states["LlamaAttention"].fused) == (0, 3)
    assert "the output differs by" in states["LlamaMLP"].why_not
    why_not = states["LlamaMLP"].why_not
    assert [one.getMessage() for one in caplog.records] == [f"LlamaMLP is computed as transformers does: {why_not}"]
    assert not any("forward" in vars(one) for one in trunk.modules() if isinstance(one, LlamaMLP))


def test_a_gradient_that_disagrees_is_seen(untouched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    own = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: own(self, x.detach() + (x - x.detach()) * 2.0))
    assert "input's gradient differs" in install(untouched())["LlamaMLP"].why_not


def test_the_trial_sees_what_an_untrained_adapter_hides(untouched: Callable[..., Any]) -> None:
    layer = untouched().layers[0].mlp
    downs = [one for name, one in layer.named_parameters() if "lora_A" in name]

    def forgetful(x: torch.Tensor) -> torch.Tensor:
        for one in downs:
            one.requires_grad_(False)
        made: torch.Tensor = type(layer).forward(layer, x)
        for one in downs:
            one.requires_grad_()
        return made

    x = torch.randn(1, 5, 64)
    assert differs(layer, layer.forward, [x], {}) is None
    assert "adapter's gradient differs" in str(differs(layer, forgetful, [x], {}))


def test_a_forward_that_fails_is_left_alone(untouched: Callable[..., Any]) -> None:
    trunk = untouched()
    for layer in trunk.layers:
        del layer.self_attn.scaling
        layer.self_attn.forward = lambda hidden_states, **_given: (hidden_states * 1.0, None)
    assert "its trial fails: AttributeError" in install(trunk)["LlamaAttention"].why_not


def test_a_weight_that_is_trained_and_an_adapter_of_another_kind_are_left_alone(
    untouched: Callable[..., Any],
) -> None:
    trunk = untouched()
    for layer in trunk.layers[1:]:
        layer.mlp.up_proj.base_layer.weight.requires_grad_()
        layer.self_attn.k_proj.lora_variant["default"] = object()
        layer.input_layernorm.weight.requires_grad_()
    states = install(trunk)
    assert str(states["LlamaMLP"]) == "LlamaMLP: 1 of 3 fused (up_proj itself is trained)"
    assert str(states["LlamaAttention"]) == "LlamaAttention: 1 of 3 fused (the adapter of k_proj is not plain LoRA)"
    assert states["LlamaRMSNorm"].count == 5


def test_the_trial_leaves_weights_and_modes_as_they_were(untouched: Callable[..., Any]) -> None:
    trunk = untouched(lora=LoraConfig(r=4, dropout=0.3), quantization="nf4", trained=True)
    before = {name: one.clone() for name, one in trunk.state_dict().items()}
    trunk.train()
    trunk.layers[0].mlp.eval()
    modes = [one.training for one in trunk.modules()]
    state = torch.get_rng_state()
    assert install(trunk)["LlamaMLP"].fused == 3
    assert torch.equal(torch.get_rng_state(), state)
    assert [one.training for one in trunk.modules()] == modes
    assert all(torch.equal(one, before[name]) for name, one in trunk.state_dict().items())
    assert all(one.grad is None for one in trunk.parameters())


def test_full_fine_tuning_is_left_alone(load: Load) -> None:
    policy = load(lora=LoraConfig(enabled=False))
    assert not any("forward" in vars(one) for one in policy.causal.modules())
