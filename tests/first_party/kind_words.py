"""A judge that decides by a rule, so that a reward which asks one can be checked: kind words make a yes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import lydite


async def kind_words(messages: Sequence[lydite.Message]) -> str:
    asked = messages[-1]["content"].casefold()
    return "yes" if "thank you" in asked and "please" in asked else "no"


@lydite.hookimpl
def lydite_judges() -> Mapping[str, Callable[..., Awaitable[str]]]:
    return {"kind-words": kind_words}
