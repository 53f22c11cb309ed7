"""Rewards on medical answers for lydite: choices, doses and units, contraindications, red flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lydite import Sample, hookimpl
from lydite_medical.case_data import cases
from lydite_medical.choice import choice
from lydite_medical.contraindication import contraindication
from lydite_medical.dose import dose
from lydite_medical.red_flags import red_flags

__all__ = ["cases", "choice", "contraindication", "dose", "red_flags"]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The rewards, by name."""
    return {
        "medical/choice": choice,
        "medical/dose": dose,
        "medical/contraindication": contraindication,
        "medical/red-flags": red_flags,
    }


@hookimpl
def lydite_datasets() -> Mapping[str, Callable[..., Iterable[Sample]]]:
    """The worked cases."""
    return {"medical/cases": cases}
