"""A tokenizer as llama.cpp reads it from a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from lydite.errors import ConfigError
from lydite.policy import Policy

_CONVERTER: Final = "name llama.cpp's own converter: --converter convert_hf_to_gguf.py"
_DIGITS: Final = {r"\p{N}{1,3}": "llama-bpe", r"\p{N}": "qwen2"}
"""llama.cpp's names for two ways of splitting text that differ in how many digits stay together."""


def add_tokenizer(writer: Any, tokenizer: Any, vocabulary: int) -> None:
    """Writes a byte-level BPE tokenizer of `vocabulary` tokens with merges, marks and chat template.

    Rows of the embedding that no token has get names that no text contains; a token without a row is left out.

    Raises:
        ConfigError: for a tokenizer of another kind, or one that splits text in a way that is not known here.
    """
    import gguf

    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    if inner["model"]["type"] != "BPE" or inner["model"].get("byte_fallback"):
        raise ConfigError(f"the model's tokenizer is no byte-level BPE, and only those are written here; {_CONVERTER}")
    names = {index: token for token, index in tokenizer.get_vocab().items()}
    added = {one["id"]: one["special"] for one in inner["added_tokens"]}
    tokens, kinds = [], []
    for index in range(vocabulary):
        tokens.append(names.get(index, f"[PAD{index}]"))
        if index not in names:
            kinds.append(gguf.TokenType.UNUSED)
        elif index in added:
            kinds.append(gguf.TokenType.CONTROL if added[index] else gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting(inner["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    with TemporaryDirectory(prefix="lydite-tokenizer-") as folder:
        tokenizer.save_pretrained(folder)
        special = gguf.SpecialVocab(Path(folder), load_merges=True, n_vocab=vocabulary)
    special.chat_template = tokenizer.chat_template
    # A template writes the start token itself; a second one in front of it would be another prompt.
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)


def add_end_of_turn(writer: Any, policy: Policy) -> None:
    """Writes which token ends an answer besides the tokenizer's end token, where one does."""
    turn, end = policy.chat.end_of_turn(), policy.tokenizer.eos_token_id
    others = [one for one in (turn, *policy.stop_token_ids) if one is not None and one != end]
    if others:
        writer.add_eot_token_id(others[0])


def splitting(pre_tokenizer: Any) -> str:
    """llama.cpp's name for the way in which a tokenizer splits text before it merges.

    Raises:
        ConfigError: when it is none of those known here.
    """
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer]) if pre_tokenizer else []
    kinds = [one["type"] for one in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        pattern = str(steps[0]["pattern"].get("Regex", ""))
        for digits, name in _DIGITS.items():
            if f"|{digits}|" in pattern and r"[^\r\n\p{L}\p{N}]?\p{L}+" in pattern:
                return name
    raise ConfigError(f"the model's tokenizer splits text in a way that is not known here ({kinds}); {_CONVERTER}")
