"""Citations in a text: read in five families, each checked for what can be known offline."""

from lydite_legal.cites.found import FAULTS, Cite, Kind
from lydite_legal.cites.reading import read_cites

__all__ = ["FAULTS", "Cite", "Kind", "read_cites"]
