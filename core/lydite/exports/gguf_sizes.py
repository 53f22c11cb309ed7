"""What llama.cpp has to know of a model besides its weights."""

from __future__ import annotations

from typing import Any

from lydite.exports.gguf_architectures import architecture_of, head_size, looks_through_a_window, usual_windows
from lydite.exports.gguf_rope import add_rope


def add_sizes(writer: Any, config: Any) -> None:
    """Writes sizes, rotary frequencies, windows of attention and caps of logits.

    Raises:
        ConfigError: for rotary frequencies that are scaled in a way that is not written here.
    """
    head = head_size(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    add_rope(writer, config)
    _add_windows(writer, config)
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        if getattr(config, key, None) is not None:
            getattr(writer, f"add_{key}")(getattr(config, key))


def _add_windows(writer: Any, config: Any) -> None:
    """How far back layers look, and which, where that is not what llama.cpp takes for granted.

    Phi 3's is written although llama.cpp goes by it no longer: a 0 there is how it knows Phi 4.
    """
    architecture, windows = architecture_of(config), looks_through_a_window(config)
    if architecture.name == "phi3":
        writer.add_sliding_window(config.sliding_window or 0)
    if architecture.pattern is None:
        return
    if any(windows):
        writer.add_sliding_window(config.sliding_window)
    # A Gemma 3 file without a window has none; a Gemma 2 file has the usual one.
    if (any(windows) or architecture.name == "gemma2") and windows != usual_windows(architecture, len(windows)):
        writer.add_sliding_window_pattern(list(windows))
