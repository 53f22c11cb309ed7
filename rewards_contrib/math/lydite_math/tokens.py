"""Tokens of an answer: numbers, letters, commands, brackets, words, units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from lydite_math.limits import LONGEST_NUMBER, TooLargeError
from lydite_math.names import FUNCTIONS, GREEK, OPAQUE, RELATIONS, STOP_WORDS, UPRIGHT
from lydite_math.tree import Num, Unit
from lydite_math.units import PLAIN_TOO_SHORT, read_unit


class UnreadableError(Exception):
    """A text that is no mathematics this package reads."""


class Token(NamedTuple):
    """One token."""

    kind: str
    """num, sym, fn, cmd, op, rel, open, close, words, unit, conn."""
    text: str
    spaced: bool
    """White space stands before it."""
    number: Num | None = None
    unit: Unit | None = None


_REPEATING: Final = re.compile(r"([0-9]*)\.([0-9]*)(?:\\overline\s*\{([0-9]+)\}|\\dot\s*\{?([0-9])\}?(?![0-9\\]))")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?")
_SPACED: Final = re.compile(r"[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9/])(?:\.[0-9]+)?")
_COMMA: Final = re.compile(r"[0-9]+,[0-9]+(?![0-9,])")
_NUMBER: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*(?![0-9.]))?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3}(?![0-9A-Za-z.]))?")
_LETTERS: Final = re.compile(r"[A-Za-z]+")
_COMMAND: Final = re.compile(r"\\[A-Za-z]+|\\.", re.DOTALL)
_PHRASE: Final = re.compile(r"[A-Za-z]+(?:(?: per |/| )[A-Za-z]+){0,3}")
_OPERATORS: Final = re.compile(r"\*\*|<=|>=|!=|==|=<|=>|:=|\.\.\.|[-+*/^_=<>!|:;,&%']")
_TEXT: Final = re.compile(r"\\text\s*\{")
_JOINED: Final = re.compile(r"(|.*?[\s,])(and|or)(|[\s,].*)", re.IGNORECASE)
_FIGURES: Final = re.compile(r"[-+0-9./,\s]*[0-9][-+0-9./,\s]*")
_LETTER_LIST: Final = re.compile(r"[A-Za-z](?:\s?,\s?[A-Za-z])+")
_LONGEST_WORDS: Final = 200
_OPEN: Final = {"(": "(", "[": "[", "{": "g", "\\{": "{", "\\langle": "<", "\\lfloor": "f", "\\lceil": "c"}
_CLOSE: Final = {")": ")", "]": "]", "}": "g", "\\}": "}", "\\rangle": ">", "\\rfloor": "f", "\\rceil": "c"}
_CONNECTIVES: Final = {"and": "and", "or": "or", "\\vee": "or", "\\wedge": "and"}


def tokens(text: str, *, commas: str = "separate") -> list[Token]:
    """The tokens of a normalised text. Commas between digits `separate`, group `thousands`, or mark the `decimal`s.

    Raises:
        UnreadableError: on a character or command that is no mathematics, or on what is left uncomputed.
        TooLargeError: on a number of too many digits.
    """
    return list(_tokens(text, commas))


def _tokens(text: str, commas: str) -> Iterator[Token]:
    place, spaced, before = 0, False, ""
    while place < len(text):
        character = text[place]
        if character.isspace():
            place, spaced = place + 1, True
            continue
        token, place = _next(text, place, spaced, before, commas)
        spaced = False
        if token is None:
            continue
        if isinstance(token, list):
            yield from token
            before = token[-1].kind
        else:
            yield token
            before = token.kind


def _next(text: str, place: int, spaced: bool, before: str, commas: str) -> tuple[Token | list[Token] | None, int]:
    character = text[place]
    if character.isdigit() or (character == "." and text[place + 1 : place + 2].isdigit()):
        number, end = _number(text, place, commas)
        return Token("num", text[place:end], spaced, number), end
    if character == "\\":
        return _command(text, place, spaced, before)
    if character.isalpha() and character.isascii():
        return _letters(text, place, spaced, before)
    if character in _OPEN:
        return Token("open", _OPEN[character], spaced), place + 1
    if character in _CLOSE:
        return Token("close", _CLOSE[character], spaced), place + 1
    found = _OPERATORS.match(text, place)
    if found is None or found[0] == "...":
        raise UnreadableError
    operator = "^" if found[0] == "**" else found[0]
    if operator == "!=" and before in ("num", "sym", "close") and not spaced:
        return [Token("op", "!", spaced), Token("rel", "=", False)], found.end()
    kind = "rel" if operator in RELATIONS else "op"
    return Token(kind, RELATIONS.get(operator, operator), spaced), found.end()


def _number(text: str, place: int, commas: str) -> tuple[Num, int]:
    repeating = _REPEATING.match(text, place)
    if repeating is not None:
        whole, fixed, period = repeating[1] or "0", repeating[2], repeating[3] or repeating[4]
        _check_length(whole + fixed + period)
        value = Fraction(int(whole + fixed), 10 ** len(fixed)) + Fraction(
            int(period), (10 ** len(period) - 1) * 10 ** len(fixed)
        )
        return Num(value), repeating.end()
    found = (_THOUSANDS.match(text, place) if commas == "thousands" else None) or _SPACED.match(text, place)
    if found is not None:
        digits = found[0].replace(",", "").replace(" ", "")
        return _literal(digits), found.end()
    found = _COMMA.match(text, place) if commas == "decimal" else None
    if found is not None:
        return _literal(found[0].replace(",", ".")), found.end()
    found = _NUMBER.match(text, place)
    if found is None:
        raise UnreadableError
    return _literal(found[0]), found.end()


def _literal(digits: str) -> Num:
    _check_length(digits)
    mantissa, _, exponent = digits.lower().partition("e")
    whole, point, behind = mantissa.partition(".")
    value = Fraction(int((whole + behind) or "0"), 10 ** len(behind))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    bare = (whole + behind).lstrip("0")
    if not exponent and not (point and behind):
        return Num(value, None, len(bare.rstrip("0")))
    return Num(value, len(behind) - int(exponent or 0), len(bare))


def _check_length(digits: str) -> None:
    if len(digits) > LONGEST_NUMBER:
        raise TooLargeError


def _command(text: str, place: int, spaced: bool, before: str) -> tuple[Token | list[Token] | None, int]:
    found = _TEXT.match(text, place)
    if found is not None:
        return _text(text, found.end(), spaced)
    matched = _COMMAND.match(text, place)
    if matched is None:
        raise UnreadableError
    command, end = matched[0], matched.end()
    name = command[1:]
    if command in OPAQUE:
        raise UnreadableError
    if command in _CONNECTIVES:
        return Token("conn", _CONNECTIVES[command], spaced), end
    if command == "\\$":
        return None, end
    if command == "\\%":
        return Token("op", "%", spaced), end
    if command in _OPEN:
        return Token("open", _OPEN[command], spaced), end
    if command in _CLOSE:
        return Token("close", _CLOSE[command], spaced), end
    if command in RELATIONS:
        return Token("rel", RELATIONS[command], spaced), end
    if name in GREEK:
        return Token("sym", name, spaced), end
    if name in FUNCTIONS:
        return Token("fn", FUNCTIONS[name], spaced), end
    if command == "\\|":
        return Token("op", "|", spaced), end
    return Token("cmd", name, spaced), end


def _text(text: str, start: int, spaced: bool) -> tuple[Token | list[Token] | None, int]:
    depth, end = 1, start
    while end < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    if depth:
        raise UnreadableError
    return _content(" ".join(text[start : end - 1].replace("\\$", " ").split()).strip(" ,.:;"), spaced), end


def _content(content: str, spaced: bool) -> Token | list[Token] | None:
    r"""The tokens of what stands in `\text{}`."""
    if not content:
        return None
    joined = _JOINED.fullmatch(content) if len(content) <= _LONGEST_WORDS else None
    if joined is not None:
        parts = [_content(joined[1], spaced), Token("conn", joined[2].casefold(), True), _content(joined[3], True)]
        return [one for part in parts if part is not None for one in (part if isinstance(part, list) else [part])]
    if _FIGURES.fullmatch(content):
        return tokens(content)
    if _LETTER_LIST.fullmatch(content):  # a text keeps its order
        return [Token("open", "(", spaced), *tokens(content), Token("close", ")", False)]
    unit = read_unit(content)
    # Letters in upright type are symbols, and may be units once a number stands before them.
    if len(content) == 1 and content.isalpha():
        return Token("sym", content, spaced, None, unit)
    if unit is not None:
        return Token("unit", content, spaced, None, unit)
    if content in FUNCTIONS or content in UPRIGHT:
        return Token("fn", FUNCTIONS.get(content) or UPRIGHT[content], spaced)
    if content in ("mod", "cis"):
        return Token("cmd", content, spaced)
    if content.isdigit():
        return Token("num", content, spaced, _literal(content))
    return Token("words", content, spaced)


def _letters(text: str, place: int, spaced: bool, before: str) -> tuple[Token | list[Token], int]:
    found = _LETTERS.match(text, place)
    assert found is not None
    run, end = found[0], found.end()
    if before == "num" or before == "close":
        phrase = _unit_phrase(text, place, spaced)
        if phrase is not None and not (before == "close" and not spaced):
            return phrase
    lowered = run.casefold()
    if lowered in _CONNECTIVES:
        return Token("conn", lowered, spaced), end
    if run in ("pi", "Pi", "PI"):
        return Token("sym", "pi", spaced), end
    if lowered in ("infinity", "inf", "oo", "infty"):
        return Token("cmd", "infty", spaced), end
    if run in ("mod", "U"):
        return Token("cmd", "mod" if run == "mod" else "cup_or_U", spaced), end
    if run in FUNCTIONS:
        return Token("fn", FUNCTIONS[run], spaced), end
    if run in GREEK:
        return Token("sym", run, spaced), end
    if len(run) >= 4 or lowered in STOP_WORDS - {"a", "as", "at"}:
        return Token("words", run, spaced), end
    return _split(run, spaced), end


def _unit_phrase(text: str, place: int, spaced: bool) -> tuple[Token, int] | None:
    found = _PHRASE.match(text, place)
    phrase = found[0] if found is not None else ""
    while phrase:
        if phrase not in PLAIN_TOO_SHORT and not (phrase == "in" and not spaced):
            unit = read_unit(phrase)
            if unit is not None:
                return Token("unit", phrase, spaced, None, unit), place + len(phrase)
        cut = max(phrase.rfind(" "), phrase.rfind("/"))
        phrase = phrase[:cut].removesuffix(" per") if cut > 0 else ""
    return None


def _split(run: str, spaced: bool) -> list[Token]:
    """A short run of letters is a product of them, with what functions and constants stand in it."""
    result: list[Token] = []
    place = 0
    while place < len(run):
        for length in (3, 2):
            part = run[place : place + length]
            if len(part) == length and part in ("sin", "cos", "tan", "cot", "log", "exp", "ln", "pi"):
                kind = "sym" if part == "pi" else "fn"
                result.append(Token(kind, FUNCTIONS.get(part, part), spaced and not place))
                place += length
                break
        else:
            result.append(Token("sym", run[place], spaced and not place))
            place += 1
    return result
