"""Units of doses on top of pint, and the words that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from lydite_medical.lexicon import table

if TYPE_CHECKING:
    import pint


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[Any]:
    """A registry of the units in lexicons/dose_units.txt alone; pint is loaded at the first call."""
    import pint

    units: pint.UnitRegistry[Any] = pint.UnitRegistry(None)
    with as_file(files("lydite_medical") / "lexicons" / "dose_units.txt") as path:
        units.load_definitions(path)
    return units


@lru_cache(maxsize=1)
def unit_names() -> Mapping[str, str]:
    """A unit as it is written to its name in the registry; "dose" stands for itself."""
    return {spelling: name for name, spellings in table("dose_words")["units"].items() for spelling in spellings}


@lru_cache(maxsize=1)
def rhythms() -> Mapping[str, float]:
    """Words for how often a dose is given, to times a day."""
    return dict(table("dose_words")["rhythms"])


@lru_cache(maxsize=256)
def scale(unit: str) -> tuple[float, str]:
    """A unit such as "milligram / day" in base units: the factor, and the dimension as text."""
    quantity = registry().Quantity(1.0, unit).to_base_units()
    return float(quantity.magnitude), str(quantity.dimensionality)
