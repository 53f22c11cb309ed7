"""What every table of the configuration has in common, and the types of its values."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Strict


class Section(BaseModel):
    """A table of the configuration. Unknown keys are errors; values do not change once read."""

    # Strict: `max_steps = true` and `weight = "1"` are slips, never meant.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        strict=True,
        allow_inf_nan=False,
    )


def _plain(value: Any) -> Any:
    """The value with lists for tuples, if a configuration file can hold it.

    Raises:
        ValueError: on None, and on objects that are no numbers, texts, dates, lists or tables.
    """
    if isinstance(value, bool | int | float | str | date | time):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"the keys of a table are strings, got {list(value)!r}")
        return {key: _plain(one) for key, one in value.items()}
    hint = "leave the option out instead" if value is None else "a run's configuration holds plain values only"
    raise ValueError(f"{value!r} has no form in a configuration file; {hint}")


Texts = Annotated[tuple[str, ...], Strict(False)]  # a file's list is taken as a tuple
Span = Annotated[tuple[float, float], Strict(False)]
Options = Annotated[dict[str, Any], AfterValidator(_plain)]
