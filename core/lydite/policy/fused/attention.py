"""The forward of an attention layer with its projections as groups and query and key rotated together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lydite.kernels.rope import rotate
from lydite.policy.adapter import Switch
from lydite.policy.fused.families import KEYWORDS, known_as
from lydite.policy.fused.lora_group import LinearGroup

_SEPARATE = {"q_proj", "k_proj", "v_proj", "o_proj"}
_JOINED = {"qkv_proj", "o_proj"}
_NORMS = {"q_norm", "k_norm"}


def is_attention(module: nn.Module) -> bool:
    """True for an attention layer of a known family that is built as expected."""
    if known_as(module, "Attention") is None:
        return False
    children = {name for name, _ in module.named_children()}
    return children in (_SEPARATE, _SEPARATE | _NORMS, _JOINED)


def attention_forward(module: Any, switch: Switch) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """A forward that gives what the layer's own gives. With a cache the layer's own runs.

    The attention function is the one that the model's configuration names, called as the layer itself calls it;
    keywords that the layer does not know, such as the layout of a packed micro-batch, are handed on to it.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    own = module.forward
    project = _projection(module, switch)
    give_out = LinearGroup([module.o_proj], switch)
    keywords = KEYWORDS[known_as(module, "Attention") or ""]
    eager = vars(sys.modules[type(module).__module__])["eager_attention_forward"]

    def forward(
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **handed_on: Any,
    ) -> tuple[Tensor, Tensor | None]:
        if past_key_values is not None or position_embeddings is None:
            result: tuple[Tensor, Tensor | None] = own(
                hidden_states=hidden_states,
                position_embeddings=position_embeddings,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                **handed_on,
            )
            return result
        query, key, value = project(hidden_states)
        if getattr(module, "use_rope", True):
            query, key = rotate(query, key, *position_embeddings)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(module.config._attn_implementation, eager)
        mixed, weights = attend(
            module, query, key, value, attention_mask,
            dropout=module.attention_dropout if module.training else 0.0, scaling=module.scaling,
            **keywords(module), **handed_on,
        )  # fmt: skip
        (given,) = give_out(mixed.reshape(*hidden_states.shape[:-1], -1))
        return given, weights

    return forward


def _projection(module: Any, switch: Switch) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """A function from hidden states [B, S, H] to query, key and value [B, heads, S, D], before they are rotated."""
    joined = hasattr(module, "qkv_proj")
    group = LinearGroup([module.qkv_proj] if joined else [module.q_proj, module.k_proj, module.v_proj], switch)
    queries = module.config.num_attention_heads * module.head_dim
    others = module.config.num_key_value_heads * module.head_dim

    def project(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = group(hidden)
        query, key, value = parts[0].split((queries, others, others), dim=-1) if joined else parts
        by_head = (*hidden.shape[:-1], -1, module.head_dim)
        query, key, value = query.view(by_head), key.view(by_head), value.view(by_head)
        if hasattr(module, "q_norm"):
            query, key = module.q_norm(query), module.k_norm(key)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    return project
