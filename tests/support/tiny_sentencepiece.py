"""A tiny tokenizer of SentencePiece's kind, as Gemma and Phi 3 have it, made without the package sentencepiece."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

GEMMA = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}\n{{ message['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PHI3 = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_WORDS = ("What", "is", "the", "end", "of", "answer", "Name", "a", "colour", "It", "user", "model", "assistant")
_SPACE = "\u2581"


def gemma_tokenizer() -> Any:
    """Like Gemma's: no space in front, runs of spaces as tokens of their own."""
    marks = [AddedToken(one, special=True, normalized=False) for one in ("<start_of_turn>", "<end_of_turn>")]
    inner = _tokenizer(("<pad>", "<eos>", "<bos>", "<unk>", *(str(one) for one in marks)), (_SPACE * 2, _SPACE * 3))
    inner.normalizer = normalizers.Replace(" ", _SPACE)
    inner.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    inner.add_special_tokens([AddedToken(one, normalized=False) for one in ("<pad>", "<eos>", "<bos>", "<unk>")])
    inner.add_special_tokens(marks)
    inner.add_tokens([AddedToken(_SPACE * size, normalized=False) for size in (2, 3)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.chat_template = GEMMA
    return tokenizer


def phi3_tokenizer() -> Any:
    """Like Phi 3's: a space in front of a text and behind each mark, and marks that take the space behind them."""
    taking = ("</s>", "<|user|>", "<|assistant|>", "<|end|>")
    inner = _tokenizer(("<unk>", "<s>", "</s>", "<|endoftext|>", *taking[1:]), ())
    inner.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    inner.add_special_tokens([AddedToken(one, normalized=False) for one in ("<unk>", "<s>", "<|endoftext|>")])
    inner.add_special_tokens([AddedToken(one, normalized=False, rstrip=True) for one in taking])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="<|endoftext|>", unk_token="<unk>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = PHI3
    return tokenizer


def _tokenizer(marks: Sequence[str], runs: Sequence[str]) -> Tokenizer:
    """Words are built letter by letter from the left, and joined by every pair of tokens that makes them."""
    letters = sorted({letter for word in _WORDS for letter in word} | {_SPACE})
    merged = [*runs]
    for word in _WORDS:
        spelled = _SPACE + word
        merged += [spelled[:end] for end in range(2, len(spelled) + 1) if spelled[:end] not in merged]
    order = [*marks, *(f"<0x{byte:02X}>" for byte in range(256)), *merged, *letters]
    vocabulary = {token: place for place, token in enumerate(order)}
    merges = [
        (token[:cut], token[cut:])
        for token in merged
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    assert all(len(left) + len(right) > 1 for left, right in merges)
    assert all(vocabulary[one] < vocabulary[two] for one, two in pairwise(merged))
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return inner
