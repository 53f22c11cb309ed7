"""All citations of a text, in order, each read once."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from lydite_legal.cites.cases import read_cases
from lydite_legal.cites.european import read_european
from lydite_legal.cites.found import Cite
from lydite_legal.cites.names import CaseName, read_names
from lydite_legal.cites.neutral import read_neutral
from lydite_legal.cites.residue import read_residue
from lydite_legal.cites.statutes import read_statutes

NEAR = 3
"""Characters between a case's name and its citation: a comma and a space."""


@lru_cache(maxsize=256)  # the eight answers to a prompt ask for the prompt's citations eight times
def read_cites(text: str, latest: int) -> tuple[Cite, ...]:
    """The citations by their place; where two readers claim the same characters, the more special one has them.

    Case names without a citation, and acts without year or section, come as `named`.
    """
    taken: list[Cite] = []
    readers = (
        read_european(text, latest),
        read_neutral(text, latest),
        read_statutes(text, latest),
        read_cases(text, latest),
        read_residue(text),
    )
    for reader in readers:
        found = sorted(reader, key=lambda one: (one.kind == "malformed", one.start))
        ends = sorted((one.start, one.end) for one in taken)
        taken += [one for one in _apart(found) if not _overlaps(one, ends)]
    return tuple(sorted(_with_names(text, taken), key=lambda one: (one.start, one.end)))


def _apart(found: list[Cite]) -> list[Cite]:
    kept: list[Cite] = []
    spans: list[tuple[int, int]] = []
    for one in found:
        if not _overlaps(one, spans):
            kept.append(one)
            spans.append((one.start, one.end))
    return kept


def _overlaps(one: Cite, spans: list[tuple[int, int]]) -> bool:
    return any(start < one.end and one.start < end for start, end in spans)


def _with_names(text: str, cites: list[Cite]) -> list[Cite]:
    by_start = {one.start: number for number, one in enumerate(cites)}
    named = list(cites)
    for name in read_names(text):
        at = next((start for start in range(name.end, name.end + NEAR + 1) if start in by_start), None)
        between = text[name.end : at] if at is not None else "none"
        if at is not None and not between.strip(" ,\n"):
            number = by_start[at]
            named[number] = replace(named[number], name=name.text)
        else:
            named.append(Cite("named", name.text, name.start, name.end, "", name.text))
    return named


def case_name(cite: Cite) -> CaseName | None:
    """The parties of a citation, where the text names them."""
    return next(read_names(cite.name), None) if cite.name else None
