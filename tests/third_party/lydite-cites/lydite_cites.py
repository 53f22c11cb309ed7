"""A verifier as a stranger would publish it: one module, one function, one entry point."""

from __future__ import annotations

from collections.abc import Callable

import lydite


def cites(completion: lydite.Completion, *, mark: str = "§") -> float:
    """1 when the answer cites a paragraph, else 0."""
    return float(mark in completion.text)


@lydite.hookimpl
def lydite_rewards() -> dict[str, Callable[..., float]]:
    """The reward `cites`."""
    return {"cites": cites}
