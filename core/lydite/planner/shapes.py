"""What a model is made of, in numbers, without its weights: transformers builds it on the meta device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lydite.config import LoraConfig, ModelConfig
from lydite.errors import ModelError

if TYPE_CHECKING:
    from lydite.policy import Policy

# Layers that keep keys and values of every token; other kinds (recurrent ones) keep a state of fixed size.
_ATTENTION: Final = ("full_attention", "sliding_attention", "chunked_attention")


@dataclass(frozen=True, slots=True)
class LinearShape:
    """One linear layer, the output head apart."""

    name: str
    rows: int
    """Outputs."""
    columns: int
    """Inputs."""
    in_trunk: bool
    """True below the output head, where adapters go; False in a vision tower, for one."""
    plain: bool
    """True for `nn.Linear`, which can be packed to 4 bit; False for GPT-2's kind."""

    @property
    def parameters(self) -> int:
        """Weights, the bias apart."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class ModelShapes:
    """The sizes of a causal language model. Parameters are counted, bytes are left to the configuration."""

    model_type: str
    hidden: int
    """H."""
    intermediate: int
    """Width of the feed-forward part; with experts, of those that one token goes through."""
    layers: int
    attention_layers: int
    """Layers with a KV cache that grows."""
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    """V, as many as the head has rows."""
    context_length: int
    """Most tokens of prompt and completion."""
    linears: tuple[LinearShape, ...]
    embedding: int
    head: int
    """Parameters of the output head; 0 where it is the embedding's."""
    other: int
    """Norms, biases, and whatever is neither a linear layer nor an embedding (experts in one tensor, for one)."""
    norm_width: int
    """Numbers of one token that pass through a norm, over all layers."""
    shares_prompts: bool
    """True where completions may be trained behind one copy of their prompt."""
    keeps_scores: bool
    """True where attention is no fused kernel, so that training keeps scores of every pair of tokens."""
    bounds_logits: bool
    """True where logits go through a tanh (Gemma 2)."""
    fuses: bool = False
    """True where `policy.fused` knows the layers, so that with an adapter they keep less."""
    family_targets: tuple[str, ...] = ()
    """Layers that the model's family adapts by default; empty: every linear layer."""

    @property
    def parameters(self) -> int:
        """All of them, a tied head counted once."""
        return sum(one.parameters for one in self.linears) + self.embedding + self.head + self.other

    def adapted(self, lora: LoraConfig) -> tuple[LinearShape, ...]:
        """The linear layers that get an adapter: the configuration's, else the family's, else every one."""
        trunk = [one for one in self.linears if one.in_trunk]
        present = {one.name.rpartition(".")[2] for one in trunk}
        wanted = lora.target_modules or [one for one in self.family_targets if one in present] or sorted(present)
        return tuple(one for one in trunk if any(one.name == name or one.name.endswith("." + name) for name in wanted))

    def packed(self, model: ModelConfig, *, on_cpu: bool) -> tuple[LinearShape, ...]:
        """The linear layers that `model.quantization` makes NF4; none without it. `policy.nf4` has the rule."""
        from lydite.kernels.nf4 import BLOCK

        if model.quantization != "nf4":
            return ()
        return tuple(
            one
            for one in self.linears
            if one.plain
            and not any(entry in one.name for entry in model.keep_16bit)
            and (not on_cpu or one.columns % BLOCK == 0)
        )


def shapes_of_config(config: Any, family_targets: Sequence[str] = ()) -> ModelShapes:
    """The shapes of the model that a transformers configuration describes, such as a policy's `config`.

    Nothing is allocated: the model is made on the meta device, so that every architecture of transformers
    is known without a table. The configuration stays as it is.

    Raises:
        ModelError: when transformers cannot make a causal language model of it.
    """
    import torch
    import transformers
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    from lydite.policy.attention import may_pack
    from lydite.policy.fused.families import known_as
    from lydite.policy.quiet import without_chatter

    try:
        with torch.device("meta"), without_chatter():
            causal: Any = transformers.AutoModelForCausalLM.from_config(_plain(config))
    except Exception as error:  # whatever an architecture raises; the reader needs its name
        raise ModelError(
            f"the sizes of a model of type {getattr(config, 'model_type', None)!r} cannot be read from its "
            f"configuration: {type(error).__name__}: {error}"
        ) from error
    text = causal.config.get_text_config(decoder=True)
    head, embedding = causal.get_output_embeddings(), causal.get_input_embeddings()
    inside = set(causal.get_decoder().modules())
    linears = tuple(
        LinearShape(name, *_rows_and_columns(module), module in inside, type(module) is nn.Linear)
        for name, module in causal.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    )
    tied = head.weight is embedding.weight
    counted = sum(one.parameters for one in linears) + embedding.weight.numel() * (1 if tied else 2)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    heads = int(text.num_attention_heads)
    kv_heads = int(getattr(text, "num_key_value_heads", None) or heads)
    head_dim = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    return ModelShapes(
        model_type=str(text.model_type),
        hidden=int(text.hidden_size),
        intermediate=_intermediate(text),
        layers=int(text.num_hidden_layers),
        attention_layers=sum(kind in _ATTENTION for kind in kinds),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=int(head.weight.shape[0]),
        context_length=int(getattr(text, "max_position_embeddings", None) or 2**20),
        linears=linears,
        embedding=int(embedding.weight.numel()),
        head=0 if tied else int(head.weight.numel()),
        other=sum(one.numel() for one in causal.parameters()) - counted,
        norm_width=_norm_width(causal.get_decoder(), {"q_norm": heads, "k_norm": kv_heads}, head_dim),
        shares_prompts=may_pack(causal.config),
        keeps_scores=causal.config._attn_implementation == "eager"
        or bool(getattr(text, "attn_logit_softcapping", None)),
        bounds_logits=bool(getattr(text, "final_logit_softcapping", None)),
        fuses=any(known_as(one, "MLP") is not None for one in inside),
        family_targets=tuple(family_targets),
    )


def shapes_of_policy(policy: Policy) -> ModelShapes:
    """The shapes of a model that is loaded."""
    return shapes_of_config(policy.config, policy.family.lora_targets if policy.family is not None else ())


def _plain(config: Any) -> Any:
    """A copy that says nothing of quantised files, which would be looked for."""
    own = copy.deepcopy(config)
    if hasattr(own, "quantization_config"):
        del own.quantization_config
    return own


def _rows_and_columns(module: Any) -> tuple[int, int]:
    if hasattr(module, "out_features"):
        return int(module.out_features), int(module.in_features)
    columns, rows = module.weight.shape  # Conv1D keeps its weight the other way round
    return int(rows), int(columns)


def _intermediate(text: Any) -> int:
    experts, width = getattr(text, "num_experts_per_tok", None), getattr(text, "moe_intermediate_size", None)
    if experts and width and (getattr(text, "num_experts", None) or getattr(text, "n_routed_experts", None)):
        return int(experts) * int(width)
    return int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size)  # GPT-2's rule where none is said


def _norm_width(trunk: Any, heads_of: dict[str, int], head_dim: int) -> int:
    """Numbers of a token that the trunk's norms read; a norm of one head's width runs over every head."""
    width = 0
    for name, module in trunk.named_modules():
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        last = name.rpartition(".")[2]
        if weight is None or weight.dim() != 1 or "norm" not in f"{last} {type(module).__name__}".lower():
            continue
        width += int(weight.numel()) * (heads_of.get(last, 1) if weight.numel() == head_dim else 1)
    return width
