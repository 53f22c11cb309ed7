"""Units of measure: a table, and the expressions made of them.

A table of what mathematical answers use takes microseconds and no dependency; pint, which knows all units, takes
about half a second to import and rejects the nouns that answers count.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.tree import Unit

_F = Fraction
_BASE: Final[dict[str, tuple[Fraction, dict[str, int]]]] = {}


def _add(names: str, factor: Fraction | int, **dimensions: int) -> None:
    for name in names.split("|"):
        _BASE[name] = (_F(factor), dimensions)


_add("m|meter|meters|metre|metres", 1, length=1)
_add("km|kilometer|kilometers|kilometre|kilometres", 1000, length=1)
_add("dm|decimeter|decimeters|decimetre|decimetres", _F(1, 10), length=1)
_add("cm|centimeter|centimeters|centimetre|centimetres", _F(1, 100), length=1)
_add("mm|millimeter|millimeters|millimetre|millimetres", _F(1, 1000), length=1)
_add("micrometer|micrometers|micron|microns", _F(1, 10**6), length=1)
_add("nm|nanometer|nanometers", _F(1, 10**9), length=1)
_add("in|inch|inches", _F(254, 10000), length=1)
_add("ft|foot|feet", _F(3048, 10000), length=1)
_add("yd|yard|yards", _F(9144, 10000), length=1)
_add("mi|mile|miles", _F(1609344, 1000), length=1)
_add("kg|kilogram|kilograms", 1, mass=1)
_add("g|gram|grams", _F(1, 1000), mass=1)
_add("mg|milligram|milligrams", _F(1, 10**6), mass=1)
_add("ton|tons|tonne|tonnes", 1000, mass=1)
_add("lb|lbs|pound|pounds", _F(45359237, 10**8), mass=1)
_add("oz|ounce|ounces", _F(45359237, 16 * 10**8), mass=1)
_add("s|sec|secs|second|seconds", 1, time=1)
_add("ms|millisecond|milliseconds", _F(1, 1000), time=1)
_add("min|mins|minute|minutes", 60, time=1)
_add("h|hr|hrs|hour|hours", 3600, time=1)
_add("day|days", 86400, time=1)
_add("week|weeks", 7 * 86400, time=1)
_add("month|months", 1, month=1)
_add("year|years|yr|yrs", 12, month=1)
_add("decade|decades", 120, month=1)
_add("L|l|liter|liters|litre|litres", _F(1, 1000), length=3)
_add("mL|ml|milliliter|milliliters|millilitre|millilitres", _F(1, 10**6), length=3)
_add("cc", _F(1, 10**6), length=3)
_add("N|newton|newtons", 1, mass=1, length=1, time=-2)
_add("J|joule|joules", 1, mass=1, length=2, time=-2)
_add("kJ|kilojoule|kilojoules", 1000, mass=1, length=2, time=-2)
_add("W|watt|watts", 1, mass=1, length=2, time=-3)
_add("kW|kilowatt|kilowatts", 1000, mass=1, length=2, time=-3)
_add("Pa|pascal|pascals", 1, mass=1, length=-1, time=-2)
_add("kPa", 1000, mass=1, length=-1, time=-2)
_add("Hz|hertz", 1, time=-1)
_add("kHz", 1000, time=-1)
_add("MHz", 10**6, time=-1)
_add("A|amp|amps|ampere|amperes", 1, current=1)
_add("V|volt|volts", 1, mass=1, length=2, time=-3, current=-1)
_add("ohm|ohms", 1, mass=1, length=2, time=-3, current=-2)
_add("K|kelvin|kelvins", 1, temperature=1)
_add("mol|mole|moles", 1, amount=1)
_add("mph", _F(1609344, 3600 * 1000), length=1, time=-1)
_add("kph|kmh", _F(1000, 3600), length=1, time=-1)
_add("dollar|dollars|USD", 1, dollar=1)
_add("cent|cents", _F(1, 100), dollar=1)
_add("euro|euros|EUR", 1, euro=1)
_add("pounds sterling|GBP", 1, sterling=1)
_add("yen|yuan|rupee|rupees", 1, currency=1)
_add("acre|acres", _F(40468564224, 10**7), length=2)
_add("hectare|hectares|ha", 10000, length=2)
_add("degree|degrees|deg", 1, degree=1)
_add("radian|radians|rad", 1, radian=1)
_add("degrees Celsius|degree Celsius|degrees celsius", 1, celsius=1)
_add("degrees Fahrenheit|degree Fahrenheit|degrees fahrenheit", 1, fahrenheit=1)
_add("percent|per cent", 1, percent=1)
_add("unit|units", 1, unit=1)

PLAIN_TOO_SHORT: Final = frozenset(name for name in _BASE if len(name) == 1)
"""Units that are letters of algebra unless they stand in `\\text{}`."""


def unit_of(factor: Fraction, dimensions: dict[str, int]) -> Unit:
    """The unit with these dimensions, those of power 0 left out."""
    return Unit(factor, tuple(sorted((name, power) for name, power in dimensions.items() if power)))


def power(unit: Unit, exponent: int) -> Unit:
    """The unit to a small power."""
    return unit_of(unit.factor**exponent, {name: one * exponent for name, one in unit.dimensions})


def product(left: Unit, right: Unit, *, inverted: bool = False) -> Unit:
    """The product of two units, or their quotient."""
    right = power(right, -1) if inverted else right
    dimensions = dict(left.dimensions)
    for name, one in right.dimensions:
        dimensions[name] = dimensions.get(name, 0) + one
    return unit_of(left.factor * right.factor, dimensions)


def read_unit(text: str) -> Unit | None:
    """The unit that a text names, or None: `km/h`, `meters per second`, `square inches`, `cm^2`, `m s^-1`."""
    text = text.strip().rstrip(".").strip()
    if not text or len(text) > 40:
        return None
    if text in _BASE:
        return unit_of(*_BASE[text])
    words = text.replace("/", " / ").replace(" per ", " / ").replace("^", " ^ ").replace("*", " ").split()
    result = Unit(_F(1), ())
    inverted, raise_next, read = False, 1, False
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if word == "/":
            inverted = True
            continue
        if word in ("square", "sq", "sq.", "cubic", "cu"):
            raise_next = 2 if word.startswith("sq") else 3
            continue
        found = _BASE.get(word)
        if found is None:
            return None
        one = power(unit_of(*found), raise_next)
        if place + 1 < len(words) and words[place] == "^":
            exponent = words[place + 1].strip("{}()")
            if exponent not in ("2", "3", "-1", "-2", "-3"):
                return None
            one = power(one, int(exponent))
            place += 2
        elif place < len(words) and words[place] in ("squared", "cubed"):
            one = power(one, 2 if words[place] == "squared" else 3)
            place += 1
        result = product(result, one, inverted=inverted)
        inverted, raise_next, read = False, 1, True
    return result if read and not inverted and raise_next == 1 else None
