"""Texts that break verifiers: huge, deeply nested, or made of characters that few expect. None of them is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lydite.attacks import PLAIN, AnswerForm

NESTED: Final = 5_000
LARGE: Final = 100_000
HUGE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Hostile:
    """One such text."""

    name: str
    text: str


def _texts() -> Iterator[Hostile]:
    yield Hostile("huge-text", "word " * (HUGE // 5))
    yield Hostile("huge-word", "a" * LARGE)
    yield Hostile("huge-number", "7" * LARGE)
    yield Hostile("many-lines", "x\n" * (LARGE // 2))
    yield Hostile("many-spaces", f"a{' ' * LARGE}b")
    yield Hostile("almost-matching", f"{'a ' * 2_000}!")
    yield Hostile("many-open-tags", "<answer>" * (LARGE // 8))
    yield Hostile("many-open-boxes", "\\boxed{" * (LARGE // 7))
    yield Hostile("nested-braces", "{" * NESTED + "}" * NESTED)
    yield Hostile("nested-parentheses", "(" * NESTED + "1" + ")" * NESTED)
    yield Hostile("nested-lists", "[" * NESTED + "]" * NESTED)
    yield Hostile("nested-fractions", "\\frac{1}{" * 1_000 + "2" + "}" * 1_000)
    yield Hostile("power-tower", "9**9**9**9")
    yield Hostile("latex-tower", "10^{10^{10^{10}}}")
    yield Hostile("factorial", "(10^9)!")
    yield Hostile("lone-surrogate", "\ud800 answer \udfff")
    yield Hostile("null-bytes", "a\x00b\x00")
    yield Hostile("control-characters", "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f")
    yield Hostile("emoji", "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 200)
    yield Hostile("combining", "e" + "\u0301" * 5_000)
    yield Hostile("right-to-left", "\u202e\u05d0\u05d1\u05d2 \u0627\u0644\u062c\u0648\u0627\u0628 \u202c")
    yield Hostile("other-digits", "\u0664\u0662 \u0968 \uff17 \u00bd \u00b2 \u2460")
    yield Hostile("private-use", "\ue000\uffff\U0010ffff")
    yield Hostile("line-separators", "a\u2028b\u2029c\x0bd\x0ce\x85f")
    yield Hostile("code", "__import__('os').system('true'); exec('x=1')")
    yield Hostile("format-string", "%s%n{0.__class__}{}{{}}%(x)s\\x\\u12\\N{BULLET}")
    yield Hostile("markup", '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><x>&c;</x>')
    yield Hostile("json-deep", '{"a":' * 2_000 + "1" + "}" * 2_000)
    yield Hostile("unclosed", "\\boxed{<answer>\"'```$\\(\\[{")


TEXTS: Final[tuple[Hostile, ...]] = tuple(_texts())
HOSTILE_NAMES: Final = tuple(one.name for one in TEXTS)


def forms_of(hostile: Hostile, form: AnswerForm = PLAIN) -> tuple[str, ...]:
    """The text as a whole completion and, where answers are marked, between the marks."""
    return (hostile.text, form.completion(hostile.text)) if form.anchored else (hostile.text,)
