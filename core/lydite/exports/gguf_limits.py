"""What a GGUF file cannot say of a model, and what those who read it leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from lydite.errors import ConfigError
from lydite.exports.gguf_architectures import (
    BY_MODEL_TYPE,
    Architecture,
    head_size,
    looks_through_a_window,
    usual_windows,
)
from lydite.exports.gguf_rope import original_context, rope_of, rotated, windows_rope_of

_LOCAL_BASE: Final = 10000.0  # of the rotary frequencies in Gemma 3's windows, as transformers takes it


def check_sayable(config: Any, architecture: Architecture) -> None:
    """Nothing, where llama.cpp computes the model as it was trained.

    Raises:
        ConfigError: where it would compute another one, whatever its file said.
    """
    said = next(_unsayable(config, architecture), None)
    if said is not None:
        raise ConfigError(
            f"llama.cpp cannot compute this model as it was trained: {said}. No GGUF file of the architecture "
            f"{architecture.name!r} says otherwise, its own converter's neither; take --to merged or --to vllm"
        )


def transformers_leaves_out(config: Any) -> str | None:
    """What of such a model transformers ignores when it reads a GGUF file, so that only llama.cpp can check that."""
    kind = rope_of(config).get("rope_type", "default")
    if kind != "default":
        return f"rotary frequencies scaled as {kind!r}"
    if rotated(config) != head_size(config):
        return f"that {rotated(config)} of a head's {head_size(config)} numbers are rotated"
    known = BY_MODEL_TYPE.get(config.model_type)
    if known is None:
        return None
    if known.interleaves and getattr(config, "attention_bias", False):
        return "the order of rows in q's and k's biases"
    if "head_dim" in known.assumed and head_size(config) != known.assumed["head_dim"]:
        return f"attention heads of {head_size(config)} numbers"
    for key, usual in known.assumed.items():
        if key != "head_dim" and getattr(config, key) != usual:
            return f"{key} = {getattr(config, key)}"
    windows = looks_through_a_window(config)
    if known.pattern is not None and windows != usual_windows(known, len(windows)):
        return "which layers look through a window"
    local = windows_rope_of(config)
    if local is not None and local["rope_theta"] != _LOCAL_BASE:
        return f"rotary frequencies of the base {local['rope_theta']:g} in windows"
    return None


def warnings_of(config: Any) -> Iterator[str]:
    """What the file's readers do otherwise than the policy behind long texts, a sentence each."""
    known = BY_MODEL_TYPE.get(config.model_type)
    if any(looks_through_a_window(config)) and (known is None or known.pattern is None):
        yield (
            f"layers of this model look back {config.sliding_window} tokens at most, and in a GGUF file of its "
            "architecture as far as there are any: behind longer texts it answers otherwise than it was trained"
        )
    if config.model_type == "phi3" and rope_of(config).get("rope_type") == "longrope":
        context = original_context(config)
        yield (
            f"this model reads texts of more than {context} tokens with other rotary frequencies, and llama.cpp goes "
            f"by the room that it is given and not by the text: with -c {context} short texts are read as they were "
            f"trained, with more than that only texts of more than {context} tokens"
        )


def _unsayable(config: Any, architecture: Architecture) -> Iterator[str]:
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", None)
    if activation is not None and activation != architecture.activation:
        yield f"its activation is {activation!r}, and llama.cpp takes {architecture.activation!r}"
    if architecture.name == "phi3":
        heads, size = config.num_attention_heads, head_size(config)
        if heads * size != config.hidden_size:
            yield f"{heads} heads of {size} numbers are not its hidden size of {config.hidden_size}"
    if architecture.adds_one:
        yield from _of_gemma(config, architecture)


def _of_gemma(config: Any, architecture: Architecture) -> Iterator[str]:
    expected = float(head_size(config))
    if config.num_hidden_layers == architecture.wide_heads_at:
        expected = float(config.hidden_size // config.num_attention_heads)
    if config.query_pre_attn_scalar != expected:
        yield (
            f"its queries are divided by sqrt({config.query_pre_attn_scalar}) (query_pre_attn_scalar), and llama.cpp "
            f"divides them by sqrt({expected:g})"
        )
    if getattr(config, "attention_bias", False):
        yield "its projections have biases (attention_bias)"
    if getattr(config, "use_bidirectional_attention", False):
        yield "tokens look ahead (use_bidirectional_attention)"
    if architecture.name == "gemma2":
        for key in ("attn_logit_softcapping", "final_logit_softcapping"):
            if getattr(config, key) is None:
                yield f"it has no {key}, and llama.cpp takes one"
    if architecture.always_tied and not config.tie_word_embeddings:
        yield "its head is not its embedding (tie_word_embeddings)"
    local = windows_rope_of(config)
    if local is None:
        return
    if local.get("rope_type", "default") != "default":
        yield f"rotary frequencies in its windows are scaled as {local['rope_type']!r}"
    if rope_of(config).get("rope_type", "default") not in ("default", "linear"):
        yield f"rotary frequencies outside of its windows alone are scaled as {rope_of(config)['rope_type']!r}"
