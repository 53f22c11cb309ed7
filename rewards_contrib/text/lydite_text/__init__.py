"""Rewards on text: what is right word for word or number for number, and how a text is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite import hookimpl
from lydite_text.choice import choice
from lydite_text.contains import contains
from lydite_text.exact import exact
from lydite_text.json_schema import json_schema
from lydite_text.language import language
from lydite_text.length import length
from lydite_text.majority import majority
from lydite_text.misspelt import misspelt
from lydite_text.number import number
from lydite_text.pattern import pattern
from lydite_text.quotes import quotes
from lydite_text.readability import readability
from lydite_text.repetition import repetition
from lydite_text.sql import sql
from lydite_text.tag_counts import tag_counts

__all__ = [
    "choice",
    "contains",
    "exact",
    "json_schema",
    "language",
    "length",
    "majority",
    "misspelt",
    "number",
    "pattern",
    "quotes",
    "readability",
    "repetition",
    "sql",
    "tag_counts",
]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The rewards, by name."""
    return {
        "text/exact": exact,
        "text/number": number,
        "text/length": length,
        "text/repetition": repetition,
        "text/tags": tag_counts,
        "text/misspelt": misspelt,
        "text/contains": contains,
        "text/regex": pattern,
        "text/json-schema": json_schema,
        "text/sql": sql,
        "text/choice": choice,
        "text/quotes": quotes,
        "text/language": language,
        "text/readability": readability,
    }


@hookimpl
def lydite_group_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward that looks at all completions of a prompt."""
    return {"text/majority": majority}
