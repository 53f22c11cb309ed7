"""Rewards on legal answers for lydite: citations, authorities, quotations, structure, holdings, deadlines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lydite import Sample, hookimpl
from lydite_legal.authorities import authorities
from lydite_legal.citation import citation
from lydite_legal.deadline import deadline
from lydite_legal.guarantees import guarantees
from lydite_legal.hedging import hedging
from lydite_legal.holding import holding
from lydite_legal.irac import irac
from lydite_legal.quotes import quotes
from lydite_legal.worked_cases import worked_cases

__all__ = [
    "authorities",
    "citation",
    "deadline",
    "guarantees",
    "hedging",
    "holding",
    "irac",
    "quotes",
    "worked_cases",
]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The rewards, by name."""
    return {
        "legal/citation": citation,
        "legal/authorities": authorities,
        "legal/quotes": quotes,
        "legal/irac": irac,
        "legal/holding": holding,
        "legal/deadline": deadline,
        "legal/hedging": hedging,
        "legal/guarantees": guarantees,
    }


@hookimpl
def lydite_datasets() -> Mapping[str, Callable[..., Iterable[Sample]]]:
    """The data set, by name."""
    return {"legal/cases": worked_cases}
