"""Reading what a judge replied. Anything but the one JSON object that was asked for is no verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

LONGEST_REPLY: Final = 100_000
"""Characters; a reply beyond that is not read."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge said of one criterion."""

    met: bool
    quote: str


def opinion_in(reply: object) -> Opinion | None:
    """The opinion in a reply `{"met": true, "quote": "..."}`, or None for any other reply.

    Prose or a code fence around the one object is passed over; two objects, further or repeated keys, and a `met`
    that is not true or false are not.
    """
    return _opinion(_object_in(reply))


def opinions_in(reply: object, ids: Iterable[str]) -> dict[str, Opinion]:
    """By criterion, the opinions in a reply `{"verdicts": [{"id": "...", "met": true, "quote": "..."}, ...]}`.

    A reply with a strange or repeated id says nothing about any criterion; one that leaves ids out, or is wrong
    about one, says nothing about those.
    """
    found = _object_in(reply)
    if not isinstance(found, dict) or set(found) != {"verdicts"} or not isinstance(found["verdicts"], list):
        return {}
    known, opinions, seen = set(ids), {}, set()
    for entry in found["verdicts"]:
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in known or name in seen:
            return {}
        seen.add(name)
        opinion = _opinion({key: value for key, value in entry.items() if key != "id"})
        if opinion is not None:
            opinions[name] = opinion
    return opinions


def _opinion(found: Any) -> Opinion | None:
    if not isinstance(found, dict) or not set(found) <= {"met", "quote"} or not isinstance(found.get("met"), bool):
        return None
    quote = found.get("quote")
    if quote is not None and not isinstance(quote, str):
        return None
    return Opinion(found["met"], quote or "")


def _object_in(reply: object) -> Any:
    """The JSON value from the first to the last curly bracket, behind any thoughts; None where that is no JSON."""
    if not isinstance(reply, str) or len(reply) > LONGEST_REPLY:
        return None
    said = reply.rpartition("</think>")[2]
    start, end = said.find("{"), said.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        return json.loads(said[start : end + 1], object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        return None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice")
    return table
