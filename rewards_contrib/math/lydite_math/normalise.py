"""Spelling: what LaTeX, HTML and Markdown add to an answer without changing it is taken away."""

from __future__ import annotations

import html
import re
from typing import Final

from lydite_math.characters import cleaned
from lydite_math.marks import marked, unit_vectors

# A backslash sequence that some JSON reader took for an escape: \frac became a form feed and "rac".
_ESCAPES: Final = {
    "\t": ("ext", "imes", "heta", "an", "au", "frac", "o"),
    "\f": ("rac",),
    "\b": ("oxed", "inom", "egin", "eta", "ar", "f"),
    "\r": ("ight", "m"),
}
_HTML: Final = (
    (re.compile(r"<sup>([^<]{0,80})</sup>", re.IGNORECASE), r"^{\1}"),
    (re.compile(r"<sub>([^<]{0,80})</sub>", re.IGNORECASE), r"_{\1}"),
)
_MARKUP: Final = re.compile(r"[\\<&*$`{\t\f\b\r]")
_DOUBLED: Final = re.compile(r"\\\\(?=[A-Za-z])")
_SPACING: Final = re.compile(
    r"\\(?:displaystyle|textstyle|limits|nolimits|phantom\{[^{}]{0,20}\}|hspace\{[^{}]{0,20}\}|left\.|right\.|"
    r"hfill|noindent|newline|medspace|thinspace|label\{[^{}]{0,40}\}|tag\{[^{}]{0,20}\})(?![A-Za-z])"
)
_QUAD: Final = re.compile(r"(?:\\q?quad)+(?:\s*\\q?quad)*")
_STATES: Final = re.compile(r"[=<>]|\\(?:leq?|geq?|neq?|in|leqslant|geqslant)(?![A-Za-z])")
_DOLLARS: Final = re.compile(
    r"\\\$\s?([0-9][0-9,.]*[0-9]|[0-9])(\s?(?:hundred|thousand|million|billion|trillion))?(?![0-9]|\s?[A-Za-z\\(^/])"
)
_SIZES: Final = re.compile(
    r"\\(?:left|right|mleft|mright|middle|bigl|bigr|biggl|biggr|Bigl|Bigr|Biggl|Biggr|big|Big|bigg|Bigg|bigm)(?![A-Za-z])"
)
_THIN: Final = re.compile(r"(?<!\\)\\(?:[ ;:>,]|\n)|~")
_NEGATIVE: Final = re.compile(r"(?<!\\)\\!")
_DIGIT_GROUPS: Final = re.compile(r"(?<=[0-9])(?:\\[!,;]|\{,\}\\?!?|,\s?\\!|\\,)\s?(?=[0-9]{3}(?![0-9]))")
_STYLES: Final = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|bf|mathit|mathsf|mathcal|mathscr|mathfrak|vec|overrightarrow|hat|bar|widehat|tilde|boxed|"
    r"fbox|bold|mathbin|mathrel|mathop|ensuremath|underline|uline|displaylines)(?![A-Za-z])"
)
_SYNONYMS: Final = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leqslant": "le",
    "leqq": "le", "leq": "le", "geqslant": "ge", "geqq": "ge", "geq": "ge", "neq": "ne", "lt": "<", "gt": ">",
    "lvert": "|", "rvert": "|", "vert": "|", "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]",
    "lparen": "(", "rparen": ")", "colon": ":", "bmod": "mod", "varphi": "phi", "varepsilon": "epsilon",
    "vartheta": "theta", "varnothing": "emptyset", "bigcup": "cup", "bigcap": "cap", "cupdot": "cup", "sqcup": "cup",
    "backslash": "setminus", "smallsetminus": "setminus", "thickapprox": "approx", "simeq": "approx", "sim": "approx",
    "doteq": "=", "coloneqq": "=", "ast": "cdot", "bullet": "cdot", "centerdot": "cdot", "dots": "ldots",
    "dotsc": "ldots", "dotsb": "cdots", "vdots": "ldots", "ddots": "ldots", "lor": "vee", "land": "wedge",
    "textbf": "text", "textit": "text", "textrm": "text", "textsf": "text", "texttt": "text", "mbox": "text",
    "hbox": "text", "emph": "text", "textnormal": "text", "mathrm": "text", "operatorname": "text", "rm": "text",
    "operatorname*": "text", "implies": "to", "Rightarrow": "to", "rightarrow": "to", "longrightarrow": "to",
    "Longrightarrow": "to", "iff": "Leftrightarrow", "degree": "^{\\circ}", "percent": "%", "prime": "'",
    "lVert": "\\|",
    "rVert": "\\|", "Vert": "\\|", "arcctg": "arccot", "arctg": "arctan", "tg": "tan", "ctg": "cot", "Re": "re",
    "Im": "im", "infin": "infty", "and": " and ", "or": " or ", "R": "\\mathbb{R}", "Z": "\\mathbb{Z}",
    "N": "\\mathbb{N}", "Q": "\\mathbb{Q}", "C": "\\mathbb{C}", "empty": "emptyset", "imath": "i", "jmath": "j",
    "textdollar": "\\$", "textpercent": "%", "textdegree": "^{\\circ}", "euro": " euros ",
    "pounds": " pounds sterling ",
    "shortmid": "mid", "lgroup": "(", "rgroup": ")", "ulcorner": "lceil", "urcorner": "rceil", "llcorner": "lfloor",
    "lrcorner": "rfloor", "exponentialE": "e", "imaginaryI": "i", "imaginaryJ": "i", "supseteq": "supset",
}  # fmt: skip
_COMMAND: Final = re.compile(r"\\(operatorname\*|[A-Za-z]+)")
_MARKDOWN: Final = re.compile(r"\*\*(?=[^\s*])([^*\n]{1,200})\*\*|`([^`\n]{1,200})`")
_ENVIRONMENT: Final = "\\begin{"
_ALIGNED: Final = re.compile(r"\\(?:begin|end)\{(?:aligned?|equation|gathered|split)\*?\}")
_CHOOSE: Final = re.compile(r"\{([^{}\\]{1,40})\\choose(?![A-Za-z])([^{}\\]{1,40})\}")
_SYSTEM: Final = re.compile(
    r"(?:\\left)?\s*\\\{\s*\\begin\{(array|aligned|gathered|matrix)\}(?:\{[lcr| ]*\})?"
    r"((?:(?!\\begin|\\end).)*)\\end\{\1\}"
    r"(?:\s*\\right\s*\.)?",
    re.DOTALL,
)
_COLOUR: Final = re.compile(r"\\(?:text)?color\s?\{[A-Za-z]{1,20}\}")
_MEMBER: Final = re.compile(r"\\in\s*([RZNQC])(?![A-Za-z'(])")
_TAGS: Final = re.compile(
    r"</?(?:b|i|u|em|strong|span|p|br|div|font|td|tr|mark|small|big)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE
)
_ENTITY: Final = re.compile(r"&(?:[A-Za-z]{2,8}|#[0-9]{1,6});")
_DELIMITERS: Final = re.compile(r"(?<!\\)(?:\$\$?|\\[()\[\]])")


def normalised(text: str) -> str:
    """The text in the spelling that the tokens are read from; its meaning is unchanged."""
    if _MARKUP.search(text) is None:
        return _trimmed(marked(text))
    for character, tails in _ESCAPES.items():
        if character in text:
            for tail in tails:
                text = text.replace(character + tail, "\\" + _unescaped(character) + tail)
    if "<" in text or "&" in text:
        text = _without_html(text)
    if _ENVIRONMENT not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = _DELIMITERS.sub(" ", text) if "$" in text or "\\(" in text or "\\[" in text else text
    text = _MARKDOWN.sub(lambda found: found[1] or found[2], text)
    text = _SYSTEM.sub(r"\\begin{cases}\2\\end{cases}", text)
    text = _ALIGNED.sub(" ", text)
    text = _COLOUR.sub(" ", text)
    text = _MEMBER.sub(r"\\in \\mathbb{\1}", text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _DIGIT_GROUPS.sub(",", text)
    text = _DOLLARS.sub(r"\1\2 \\text{dollars}", text)
    text = _SPACING.sub(" ", text)
    text = _separated(text)
    text = _SIZES.sub("", text)
    text = _NEGATIVE.sub("", _THIN.sub(" ", text))
    text = _STYLES.sub(" ", unit_vectors(text))
    return _trimmed(marked(_COMMAND.sub(_synonym, text)))


def _separated(text: str) -> str:
    r"""The text with `\quad` as a comma between statements, and as a space elsewhere."""
    parts = _QUAD.split(text)
    if len(parts) > 1 and all(_STATES.search(one) for one in parts):
        return ", ".join(one.strip(" ,") for one in parts)
    return " ".join(parts)


def _without_html(text: str) -> str:
    for pattern, by in _HTML:
        text = pattern.sub(by, text)
    text = _TAGS.sub(" ", text)
    if _ENTITY.search(text):
        text = cleaned(_ENTITY.sub(lambda found: html.unescape(found[0]), text)) or ""
    return text


def _unescaped(character: str) -> str:
    return {"\t": "t", "\f": "f", "\b": "b", "\r": "r"}[character]


def _synonym(found: re.Match[str]) -> str:
    by = _SYNONYMS.get(found[1])
    if by is None:
        return found[0]
    return f"\\{by} " if by.isalpha() else by


def _trimmed(text: str) -> str:
    """Without the punctuation that ends a sentence or introduces a value, quotation marks, and remarks on letters."""
    text = text.strip()
    while text and text[-1] in ".,;:" and not text.endswith(("..", "\\,", "\\;", "\\:")):
        text = text[:-1].rstrip()
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1].strip()
    text = _CURRENCY.sub("", _REMARK.sub("", text))
    for sign in ("=", "\\approx"):
        text = text.removeprefix(sign).lstrip()
    return text


_CURRENCY: Final = re.compile(r"^(?:Rs\.?|US\s?\\?\$|USD|INR|CAD)\s*(?=[0-9])")
_REMARK: Final = re.compile(
    r"[\s,;]{0,6}(?:\\text\s?\{)?[\s,;]{0,3}(?:where|for|with|and)\s{1,3}(?:some |all |any |every )?"
    r"(?:\}?\s*\$?\\?[A-Za-z]\s*\$?\s*(?:\\text\s?\{)?\s*(?:is|are|being)\s+)?"
    r"(?:an?\s+|any\s+|some\s+)?(?:(?:fixed|arbitrary|real|complex|positive|negative|nonnegative|natural|non-zero|nonzero)\s+)*"
    r"(?:constants?|numbers?|integers?|parameters?|reals?)(?:\s*\}?\s*\\?[A-Za-z])?\s*\}?$"
)


def plain(text: str) -> str:
    """Words and signs in one spelling, for comparing prose and what is not computed as strings."""
    text = _TEXT.sub(r"\1", text)
    text = _SINGLE.sub(r"\1", text).replace("\\mathbb", " ")
    text = _DOTS.sub("...", text)
    text = _NOISE.sub(" ", text)
    text = _LETTER_EDGE.sub(" ", text)
    return " ".join(_AROUND_SIGNS.sub(r"\1", text).replace("\\", " ").strip(" .,;:").split())


_TEXT: Final = re.compile(r"\\text\s*\{([^{}]*)\}")
_SINGLE: Final = re.compile(r"\{\s*([A-Za-z0-9])\s*\}")
_DOTS: Final = re.compile(r"\\[lc]dots(?![A-Za-z])|\.\.\.")
_NOISE: Final = re.compile(r"[$\s\"'`]+|\\[ ,;:!]")
_LETTER_EDGE: Final = re.compile(r"(?<=[A-Za-z])(?=[^A-Za-z\s])|(?<=[^A-Za-z\s])(?=[A-Za-z])")
_AROUND_SIGNS: Final = re.compile(r"\s*([^\w\s])\s*")
