"""A tokenizer as llama.cpp reads it from a GGUF file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from lydite.errors import ConfigError
from lydite.exports.gguf_sentencepiece import BYTE, add_sentencepiece, is_sentencepiece
from lydite.policy import Policy

_CONVERTER: Final = "name llama.cpp's own converter: --converter convert_hf_to_gguf.py"
_DIGITS: Final = {r"\p{N}{1,3}": "llama-bpe", r"\p{N}": "qwen2"}
"""llama.cpp's names for two ways of splitting text that differ in how many digits stay together."""
_PHI3: Final = re.compile(r"(phi)-?(3)", re.IGNORECASE)
_SPACES_KNOWN: Final = ("gemma2", "gemma3_text", "phi3")
"""Types of models whose SentencePiece tokenizers transformers has a rule for when it reads a GGUF file."""
_MARKS_OF_PHI3: Final = frozenset({"</s>", "<unk>", "<s>", "<|endoftext|>"})


def add_tokenizer(writer: Any, tokenizer: Any, vocabulary: int) -> None:
    """Writes a BPE tokenizer of `vocabulary` tokens, marks and chat template: a byte-level one, or SentencePiece's.

    Rows of the embedding that no token has get names that no text contains; a token without a row is left out.

    Raises:
        ConfigError: for a tokenizer of another kind, or one that splits or merges text in a way that is not known here.
    """
    import gguf

    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    if inner["model"]["type"] != "BPE":
        raise ConfigError(
            f"the model's tokenizer is of the kind {inner['model']['type']}, and only BPE is written here; {_CONVERTER}"
        )
    pieces = is_sentencepiece(inner)
    names = {index: token for token, index in tokenizer.get_vocab().items()}
    tokens = [names.get(index, f"[PAD{index}]") for index in range(vocabulary)]
    kinds = _kinds(inner, [names.get(index) for index in range(vocabulary)])
    if pieces:
        add_sentencepiece(writer, inner, tokens, kinds, has_template=bool(tokenizer.chat_template))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(splitting(inner["pre_tokenizer"]))
        writer.add_token_list(tokens)
        writer.add_token_types(kinds)
    with TemporaryDirectory(prefix="lydite-tokenizer-") as folder:
        tokenizer.save_pretrained(folder)
        special = gguf.SpecialVocab(Path(folder), load_merges=not pieces, n_vocab=vocabulary)
    special.chat_template = tokenizer.chat_template
    # A template writes the start token itself; a second one in front of it would be another prompt.
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)


def model_name(name: str, tokenizer: Any) -> str:
    """The name that a file gives its model, by which llama.cpp knows whether marks take the space behind them.

    It looks for "Phi-3" there, and fails on a model so called that lacks Phi 3's marks.
    """
    takes_space = bool(_taking_space(tokenizer))
    if takes_space and tokenizer.get_vocab().keys() >= _MARKS_OF_PHI3:
        return name if _PHI3.search(name) else f"{name} (Phi-3)"
    return _PHI3.sub(r"\1 \2", name)


def transformers_leaves_out_of_the_tokenizer(tokenizer: Any, model_type: str) -> str | None:
    """What of a tokenizer transformers ignores when it reads a GGUF file, so that only llama.cpp can check that."""
    if taking := _taking_space(tokenizer):
        return f"that {taking[0]} takes the space behind it"
    if is_sentencepiece(json.loads(tokenizer.backend_tokenizer.to_str())) and model_type not in _SPACES_KNOWN:
        return "where the tokenizer puts a space in front"
    return None


def _taking_space(tokenizer: Any) -> list[str]:
    return [str(one) for one in tokenizer.added_tokens_decoder.values() if one.rstrip]


def _kinds(inner: Any, tokens: Sequence[str | None]) -> list[int]:
    """The kind of each token by gguf's numbers; None is a row without one."""
    from gguf import TokenType

    special = {one["content"]: one["special"] for one in inner["added_tokens"]}
    pieces, unknown = is_sentencepiece(inner), inner["model"].get("unk_token")

    def kind(token: str | None) -> TokenType:
        if token is None:
            return TokenType.UNUSED
        if token in special:
            return TokenType.CONTROL if special[token] else TokenType.USER_DEFINED
        if pieces and token == unknown:
            return TokenType.UNKNOWN
        return TokenType.BYTE if pieces and BYTE.fullmatch(token) else TokenType.NORMAL

    return [int(kind(one)) for one in tokens]


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
