"""Plugins that exist for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.distributions import install_distribution


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a distribution with the source of its module and, where it differs, its entry point."""

    def installed(name: str, source: str | None, *, version: str = "1.0", entry: str = "", value: str = "") -> Path:
        site = tmp_path / f"site-{name}"
        return install_distribution(site, monkeypatch, name, source, version=version, entry=entry, value=value)

    return installed


@pytest.fixture
def offering() -> Callable[..., str]:
    """The source of a plugin whose hook returns an expression."""

    def source(returned: str, hook: str = "lydite_rewards") -> str:
        function = "def score(text: str) -> float: return 1.0"
        return f"import lydite\n{function}\n@lydite.hookimpl\ndef {hook}(): return {returned}\n"

    return source
