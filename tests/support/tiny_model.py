"""A random model of a few thousand weights with a tokenizer, saved as a folder: real files, loaded in no time.

    from support.tiny_model import make_tiny_model

    folder = make_tiny_model(tmp_path / "model", "qwen3")

The same arguments give the same weights. The tokenizer is byte-level, so that it encodes any text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LINES = ("What is 2 + 3? It is 5.", "Name a colour: red, green, blue.", "<answer>42</answer> the end of the answer")
_SIZES = {
    "hidden_size": 64,  # a block of NF4, so that the tiny models can be packed
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,  # wide enough that the likeliest token is well ahead of the next
}
_WINDOW = 6  # shorter than any prompt, so that a forgotten window shows
_GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": _WINDOW}
_OWN: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "smollm3": {"pad_token_id": 0},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": _WINDOW},
    "phi3": {"sliding_window": _WINDOW},
    "gemma2": {**_GEMMA, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 5.0},
    "gemma3_text": {**_GEMMA, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "num_experts": 0,
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "head_dim": 8,
    },
}
ARCHITECTURES = (*_OWN, "gemma3")


def make_tiny_model(
    folder: Path,
    architecture: str = "llama",
    *,
    chat_template: str | None = CHATML,
    special_tokens: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Writes config, weights and tokenizer into the folder, and returns it.

    `settings` replace those of the model's configuration. `special_tokens` are added to the vocabulary, beside
    the padding and ChatML marks.
    """
    tokenizer = make_tiny_tokenizer(chat_template=chat_template, special_tokens=special_tokens)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(_config(architecture, tokenizer, settings or {})).to(
            dtype
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tiny_tokenizer(*, chat_template: str | None = CHATML, special_tokens: Sequence[str] = ()) -> Any:
    """A byte-level tokenizer with a few merges; its end token is `<|im_end|>`."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    marks = [PAD, START, END, *(one for one in special_tokens if one not in (PAD, START, END))]
    trainer = trainers.BpeTrainer(
        vocab_size=300 + len(marks),
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(_LINES, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=END, pad_token=PAD, additional_special_tokens=[START, *marks[3:]]
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def _config(architecture: str, tokenizer: Any, settings: Mapping[str, Any]) -> Any:
    common = {
        **_SIZES,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    if architecture != "gemma3":
        return transformers.AutoConfig.for_model(architecture, **{**common, **_OWN[architecture], **settings})
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return transformers.Gemma3Config(
        text_config={**common, **_OWN["gemma3_text"], **settings},
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        eos_token_id=tokenizer.eos_token_id,
    )
