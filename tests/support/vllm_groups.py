"""vLLM's fused linear layers, and the layers of the trainer's model that each is made of."""

from __future__ import annotations

from lydite.rollout.vllm.binding import Binding, Group

FUSED = {
    "self_attn.qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "self_attn.o_proj": ("o_proj",),
    "mlp.gate_up_proj": ("gate_proj", "up_proj"),
    "mlp.down_proj": ("down_proj",),
}


def group_of(binding: Binding, layer: int, name: str) -> Group:
    """The group for one of `FUSED`, asked for as vLLM's layer does."""
    before, _, last = name.rpartition(".")
    parts = [f"model.layers.{layer}.{before}.{one}" for one in FUSED[name]]
    sizes = [binding.policy.causal.get_submodule(one).out_features for one in parts]
    return binding.group(f"model.layers.{layer}.{name}", sizes, {last: FUSED[name]})
