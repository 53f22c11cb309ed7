"""Runs whose data comes from a function of the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from lydite.config import RunConfig
from lydite.data import Data, load_data
from lydite.plugins import KINDS, Offer, Owner, Plugins, load_plugins

OWNER = Owner("fake", "lydite-fake", "9.9", "entry_point", "lydite_fake")


@pytest.fixture
def load() -> Callable[..., Data]:
    """`load(source, **settings)` loads a run whose data is what `source` gives."""

    def loaded(source: Callable[..., Any], *, n: int = 0, **settings: Any) -> Data:
        base = load_plugins(allow=[])
        sources = {"fake": source, "fake-heldout": settings.pop("heldout", source)}
        offers = {kind: dict(base.offers[kind]) for kind in KINDS}
        offers["datasets"] = {name: Offer("datasets", name, one, OWNER) for name, one in sources.items()}
        plugins: Plugins = replace(base, offers=MappingProxyType(offers))
        eval_data = settings.pop("eval_data", None)
        given: dict[str, Any] = {
            "model": {"path": "nowhere"},
            "data": {"use": "fake", **settings.pop("data", {})},
            "rewards": {"correct": {"use": "text/exact"}},
            "train": {
                "max_steps": settings.pop("max_steps", 2),
                "num_generations": 2,
                "per_device_train_batch_size": 2 * settings.pop("prompts_per_step", 1),
            },
            **settings,
        }
        if n:
            given["eval"] = {"reward": {"use": "text/exact"}, "n": n, "data": eval_data}
        return load_data(RunConfig.model_validate(given), plugins)

    return loaded
