"""The layers that vLLM decodes with, on packed weights: few rows by the kernel, many by weights unpacked first."""

from __future__ import annotations

import pytest
import torch
from support.tiny_model import make_tiny_model
from support.vllm_groups import FUSED, group_of
from support.vllm_policies import trained
from torch import Tensor, nn

from lydite.config import LoraConfig, ModelConfig
from lydite.kernels.nf4_linear import FUSED_ROWS
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.policy.adapter import ADAPTER
from lydite.rollout.vllm.binding import Binding, Group
from lydite.rollout.vllm.method import product


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("qwen2")  # q, k and v have a bias each
    make_tiny_model(folder, "qwen2", settings={"hidden_size": 128, "head_dim": 32})
    config = ModelConfig(path=str(folder), dtype="float32", device="cpu", quantization="nf4")
    return trained(load_policy(config, LoraConfig(r=4, alpha=8), load_plugins(allow=()), 0))


def adapted_group(policy: Policy, name: str) -> Group:
    """The group of the first layer, with the policy's adapter in it."""
    group = group_of(Binding(policy, unpack=False), 0, name)
    for place, parameter in group.adapter_plan():
        place.copy_(parameter.data)
    return group


def by_its_parts(group: Group, x: Tensor, bias: Tensor | None) -> Tensor:
    """The same by each part's own layers, with bitsandbytes' own unpacking."""
    from bitsandbytes.functional import dequantize_4bit

    outs = []
    for part in group.parts:
        weight = part.linear.weight
        out = nn.functional.linear(x, dequantize_4bit(weight.data, weight.quant_state).to(x.dtype))
        a, b = part.lora.lora_A[ADAPTER].weight, part.lora.lora_B[ADAPTER].weight
        outs.append(out + part.lora.scaling[ADAPTER] * nn.functional.linear(nn.functional.linear(x, a), b))
    joined = torch.cat(outs, dim=-1)
    return joined if bias is None else joined + bias


@pytest.mark.parametrize("rows", [1, 5, FUSED_ROWS, FUSED_ROWS + 1])
@pytest.mark.parametrize("layer", FUSED)
def test_a_layers_product_is_that_of_its_parts(policy: Policy, layer: str, rows: int) -> None:
    group = adapted_group(policy, layer)
    x = torch.randn(rows, group.shape[1])
    bias = torch.randn(group.shape[0]) if layer == "self_attn.qkv_proj" else None
    given = x.clone()
    with torch.no_grad():
        out = product(group, x, bias)
        assert torch.allclose(out, by_its_parts(group, x, bias), rtol=1e-5, atol=1e-5)
    assert out.is_contiguous(), "vLLM's own kernels read rows one behind the other"
    assert torch.equal(x, given)
