"""SentencePiece's kind of BPE, as Gemma, Phi 3 and Llama 2 have it, written for llama.cpp.

Such a file lists no merges. llama.cpp joins whatever two neighbours make a token, the best-scored token first, so that
a tokenizer is the same there only if its merges are all that make a token, in the order of the tokens they make.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lydite.errors import ConfigError

BYTE: Final = re.compile(r"<0x[0-9A-F]{2}>")
"""How a single byte is spelled where text has no token of its own."""
_SPACE: Final = "\u2581"
_CONVERTER: Final = "name llama.cpp's own converter: --converter convert_hf_to_gguf.py"


def is_sentencepiece(inner: Any) -> bool:
    """Whether a tokenizer, by its `tokenizer.json`, spells what it has no token for as single bytes."""
    return bool(inner["model"]["type"] == "BPE" and inner["model"].get("byte_fallback"))


def add_sentencepiece(
    writer: Any, inner: Any, tokens: Sequence[str], kinds: Sequence[int], *, has_template: bool
) -> None:
    """Writes tokens of these kinds with the scores that make llama.cpp join them in the tokenizer's order.

    Raises:
        ConfigError: for a tokenizer that llama.cpp would read text by otherwise.
    """
    import gguf

    ranks = merge_ranks(inner)
    last = -float(len(ranks))
    prefix = puts_space_in_front(inner, has_template=has_template)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(
        # Marks are looked for in the text as it is, before its spaces are respelled.
        [
            token.replace(_SPACE, " ") if kind == gguf.TokenType.USER_DEFINED else token
            for token, kind in zip(tokens, kinds, strict=True)
        ]
    )
    writer.add_token_scores([-float(ranks[token]) if token in ranks else last for token in tokens])
    writer.add_token_types(kinds)
    writer.add_add_space_prefix(prefix)


def merge_ranks(inner: Any) -> Mapping[str, int]:
    """The place of each merged token among the merged tokens, from 0, by its spelling.

    Raises:
        ConfigError: where tokens are joined in an order that no score of theirs says, or not by every pair that makes
            them.
    """
    vocabulary = inner["model"]["vocab"]
    added = {one["content"] for one in inner["added_tokens"]}
    ranks: dict[str, int] = {}
    pairs: Counter[str] = Counter()
    before = None
    for merge in inner["model"]["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        token = left + right
        if token != before and token in ranks:
            raise ConfigError(
                f"the model's tokenizer joins other tokens between two pairs that make {token!r}, which llama.cpp "
                f"cannot do; {_CONVERTER}"
            )
        ranks.setdefault(token, len(ranks))
        if left not in added and right not in added:
            pairs[token] += 1
        before = token
    plain = vocabulary.keys() - added
    for token in plain:
        made = sum(token[:cut] in plain and token[cut:] in plain for cut in range(1, len(token)))
        if made != pairs[token] and not BYTE.fullmatch(token):
            raise ConfigError(
                f"the model's tokenizer makes {token!r} of {pairs[token]} pairs of tokens, and llama.cpp would make "
                f"it of {made}: texts would be read as other tokens; {_CONVERTER}"
            )
    return ranks


def puts_space_in_front(inner: Any, *, has_template: bool) -> bool:
    """Whether a text, and what follows a mark, is read as if a space stood in front of it.

    Raises:
        ConfigError: for a tokenizer that changes text in another way before it is split into tokens.
    """
    steps = [*_steps(inner["normalizer"], "normalizers"), *_steps(inner["pre_tokenizer"], "pretokenizers")]
    in_front = False
    for step in steps:
        match step:
            case {"type": "Prepend", "prepend": "\u2581"}:
                in_front = True
            case {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}:
                pass
            case {"type": "Split", "pattern": {"String": " "}}:
                pass  # Gemma's, behind the step that leaves no space to split at
            case {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": False}:
                # llama.cpp knows no space in front of a text's start alone; one that starts with a mark has none.
                in_front = scheme == "always" or (scheme == "first" and not has_template)
            case _:
                raise ConfigError(
                    f"the model's tokenizer changes text in a way that is not known here ({step['type']}); {_CONVERTER}"
                )
    return in_front


def _steps(one: Any, several: str) -> Sequence[Any]:
    if one is None:
        return ()
    steps: Sequence[Any] = one[several] if one["type"] == "Sequence" else [one]
    return steps
