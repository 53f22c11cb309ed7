# ruff: noqa: RUF001 - a table of characters that look like others
"""Characters: every way to write a digit, sign or letter made one, in ASCII and LaTeX commands."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_SUPERSCRIPTS: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸ"
_SUBSCRIPTS: Final = "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₖₘₓᵢⱼ"
_RAISED: Final = re.compile(f"[{_SUPERSCRIPTS}]+")
_LOWERED: Final = re.compile(f"[{_SUBSCRIPTS}]+")
_CIRCLED: Final = re.compile("[①-⑨]+")
_FRACTION: Final = re.compile("([0-9]+)\u2044([0-9]+)")
_VULGAR: Final = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"

_GREEK: Final = {
    one: name.lower() if "SMALL" in full else name.capitalize()
    for one in map(chr, [*range(0x391, 0x3A2), *range(0x3A3, 0x3AA), *range(0x3B1, 0x3C2), *range(0x3C3, 0x3CA)])
    for full in [unicodedata.name(one)]
    for name in [full.split()[-1].replace("LAMDA", "LAMBDA")]
    if name not in ("OMICRON",)
}
_COMMANDS: Final = {
    **_GREEK, "ϕ": "phi", "ϵ": "epsilon", "µ": "mu",
    "×": "times", "·": "cdot", "⋅": "cdot", "∙": "cdot", "∗": "cdot", "÷": "div", "±": "pm", "∓": "mp",
    "≤": "le", "⩽": "le", "≦": "le", "≥": "ge", "⩾": "ge", "≧": "ge", "≠": "ne", "≈": "approx", "≡": "equiv",
    "∞": "infty", "√": "sqrt", "∪": "cup", "∩": "cap", "∈": "in", "∉": "notin", "∅": "emptyset", "∖": "setminus",
    "∀": "forall", "∃": "exists", "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil", "⌉": "rceil", "→": "to", "⇒": "to",
    "∑": "sum", "∏": "prod", "∫": "int", "…": "ldots", "⋯": "cdots", "∠": "angle", "⟨": "langle", "⟩": "rangle",
    "∧": "land", "∨": "lor", "∣": "mid", "⊥": "perp", "∥": "parallel",
}  # fmt: skip
_PLAIN: Final = {
    "\u2212": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "⁄": "/", "∕": "/", "∶": ":", "、": ",",
    "°": "^{\\circ}", "º": "^{\\circ}", "′": "'", "‵": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "。": ".",
    "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}", "ℚ": "\\mathbb{Q}", "ℂ": "\\mathbb{C}",
    "∛": "\\sqrt[3]", "∜": "\\sqrt[4]", "€": " euros ", "£": " pounds sterling ", "¥": " yen ",
}  # fmt: skip
_TABLE: Final = str.maketrans({**{one: f"\\{name} " for one, name in _COMMANDS.items()}, **_PLAIN})


def cleaned(text: str) -> str | None:
    """The text with digits, signs, fractions, superscripts and Greek letters in ASCII and LaTeX.

    Letters that only look alike stay different. None for a text with controls that change the direction of
    reading: what a person sees there is not what is written.
    """
    if text.isascii():
        return text
    if _BIDI.search(text):
        return None
    for one in _VULGAR:
        if one in text:
            above, below = unicodedata.normalize("NFKC", one).split("\u2044")
            text = text.replace(one, f"\\frac{{{above}}}{{{below}}}")
    text = _CIRCLED.sub(lambda found: ", ".join(unicodedata.normalize("NFKC", found[0])), text)
    text = _RAISED.sub(lambda found: f"^{{{_folded(found[0])}}}", text)
    text = _LOWERED.sub(lambda found: f"_{{{_folded(found[0])}}}", text)
    text = _FRACTION.sub(r"\\frac{\1}{\2}", text).translate(_TABLE)
    return text if text.isascii() else "".join(map(_one, text))


def with_ascii_digits(text: str) -> str:
    """The text with the digits of every script as 0 to 9, of the same length."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.digit(one)) if unicodedata.category(one) == "Nd" else one for one in text)


def _folded(run: str) -> str:
    return unicodedata.normalize("NFKC", run).replace("\u2212", "-")


def _one(character: str) -> str:
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    if category == "Zs":
        return " "
    if category == "Nd":
        return str(unicodedata.digit(character))
    return unicodedata.normalize("NFKC", character).translate(_TABLE)
