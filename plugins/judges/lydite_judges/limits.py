"""What a run may ask of a judge: how often, how much, at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from lydite import did_you_mean


class Limits(BaseModel):
    """Limits on one model at one address, common to all processes of a run. None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Of questions and replies together."""
    max_cost: float | None = None
    """In the currency of the prices. What would pass it is not asked."""
    price_in: float = 0.0
    """Of a million tokens of questions."""
    price_out: float = 0.0
    """Of a million tokens of replies."""
    at_once: int = 64
    """Requests that one worker process has open."""

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, given: Any) -> Any:
        for name in given if isinstance(given, Mapping) else ():
            if name not in cls.model_fields:
                raise ValueError(f"limits have no {name!r}{did_you_mean(str(name), list(cls.model_fields))}")
        return given

    @model_validator(mode="after")
    def _numbers_make_sense(self) -> Limits:
        for name in ("requests_per_minute", "tokens_per_minute", "max_cost", "at_once"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} is a number above 0, got {value}")
        for name in ("price_in", "price_out"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is a price of 0 or more, got {getattr(self, name)}")
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise ValueError("max_cost needs price_in and price_out, the prices of a million tokens")
        return self

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6
