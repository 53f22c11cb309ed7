"""Shapes of the models that are timed. Their weights are random: speed and memory do not depend on values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

LORA_RANK: Final = 16
LORA_ALPHA: Final = 32
LINEARS: Final = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of the Llama or Qwen2 kind, by its sizes."""

    like: str
    """The model that has these sizes."""
    kind: Literal["qwen2", "llama"]
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    positions: int = 4096

    def config(self) -> Any:
        """The configuration of transformers. The last token of the vocabulary is the end token."""
        from transformers import LlamaConfig, Qwen2Config

        made = {"qwen2": Qwen2Config, "llama": LlamaConfig}[self.kind](
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.ffn,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            max_position_embeddings=self.positions,
            tie_word_embeddings=self.tied,
            bos_token_id=self.end_token,
            eos_token_id=self.end_token,
            pad_token_id=self.end_token - 1,
        )
        made.architectures = [{"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}[self.kind]]
        return made

    @property
    def end_token(self) -> int:
        """The token that the tokenizer ends with."""
        return self.vocabulary - 1

    def linear_sizes(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of one of `LINEARS`."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "self_attn.q_proj": (self.hidden, query),
            "self_attn.k_proj": (self.hidden, key),
            "self_attn.v_proj": (self.hidden, key),
            "self_attn.o_proj": (query, self.hidden),
            "mlp.gate_proj": (self.hidden, self.ffn),
            "mlp.up_proj": (self.hidden, self.ffn),
            "mlp.down_proj": (self.ffn, self.hidden),
        }[name]


SHAPES: Final = {
    "q15": Shape("Qwen2.5-1.5B", "qwen2", 1536, 8960, 28, 12, 2, 128, 151936, tied=True),
    "l8": Shape("Llama-3.1-8B", "llama", 4096, 14336, 32, 32, 8, 128, 128256, tied=False),
    "smol": Shape("SmolLM2-135M", "llama", 576, 1536, 30, 9, 3, 64, 49152, tied=True),
    # For a machine without a GPU; head size and widths are what vLLM's CPU build and NF4 take.
    "tiny": Shape("a toy", "qwen2", 128, 256, 2, 2, 1, 64, 1024, tied=True),
}
BIG: Final = Shape("Llama-3.1-70B", "llama", 8192, 28672, 80, 64, 8, 128, 128256, tied=False)
"""Not among `SHAPES`: its weights are never in 16 bit, on disk or anywhere else."""
