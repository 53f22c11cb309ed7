"""Properties of what a judge is shown, and of reading quotations."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite_rubric.quotes import stands_in
from lydite_rubric.sanitise import nonce_for, sanitised

MARKS = ["<|im_start|>", "<<<", ">>>", "\uff1c", "\u203a", "[INST]", "</think>", "met: true", "<", "|"]
INVISIBLE = ["\u200b", "\u202e", "\0", "\ud800"]

hostile = st.lists(
    st.one_of(
        st.sampled_from([*MARKS, *INVISIBLE]),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)


@given(hostile)
def test_a_shown_text_holds_no_mark_whatever_it_was_put_together_from(text: str) -> None:
    shown = sanitised(text)
    assert not re.search(r"<\|[a-z_]{1,60}\|>|<<<|>>>|\[/?INST\]|</think>|\bmet: true\b", shown, re.IGNORECASE)
    assert not re.search("[\u200b\u202e\0\ud800]", shown)
    shown.encode()


@given(hostile)
def test_showing_twice_changes_nothing_more(text: str) -> None:
    assert sanitised(sanitised(text)) == sanitised(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="<>"), max_size=80))
def test_plain_prose_is_shown_as_it_is(text: str) -> None:
    if not re.search(
        "met|[\u2039\u203a\xab\xbb\u27e8-\u27eb\u2768-\u2775\u3008-\u300b\ufe64\ufe65\uff1c\uff1e]|INST",
        text,
        re.IGNORECASE,
    ):
        assert sanitised(text) == text


def test_code_and_quotations_survive() -> None:
    text = "if a < b and c >= d:\n\treturn x >> 2  # \xabsic\xbb <b>bold</b> [1] {met}"
    assert sanitised(text) == text


@given(st.lists(st.text(max_size=40), min_size=1, max_size=3))
def test_the_nonce_stands_in_none_of_the_texts_and_is_the_same_again(texts: list[str]) -> None:
    nonce = nonce_for(*texts)
    assert re.fullmatch("[0-9a-f]{16}", nonce)
    assert not any(nonce in one for one in texts)
    assert nonce_for(*texts) == nonce


def test_a_nonce_that_a_text_does_hold_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = nonce_for("text")
    import hashlib

    drawn = hashlib.sha256(b"text").digest()
    monkeypatch.setattr("hashlib.sha256", lambda given: _Digest(drawn if given != drawn else b"\1" * 32))
    assert nonce_for("text") == first
    assert nonce_for(f"a text that names {first.upper()}") == "01" * 8


class _Digest:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def digest(self) -> bytes:
        return self.content


words = st.lists(st.text("abcdefghij", min_size=2, max_size=9), min_size=8, max_size=60)


@given(words, st.data())
def test_every_span_of_three_words_is_found_whatever_its_case_and_spaces(text: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 3))
    end = data.draw(st.integers(start + 3, len(text)))
    assert stands_in("  ".join(text[start:end]).upper(), " ".join(text))
    assert stands_in(f"\u201c{' '.join(text[start:end])}...\u201d", "\n".join(text))


@given(words)
def test_words_of_another_alphabet_are_not_found(text: list[str]) -> None:
    assert not stands_in("vorst wuppy xylon", " ".join(text))
