"""Distributions that exist for one test: a module and its metadata in a folder on sys.path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a distribution with the source of its module and, where it differs, its entry point."""

    def installed(name: str, source: str | None, *, version: str = "1.0", entry: str = "", value: str = "") -> Path:
        module = name.replace("-", "_")
        site = tmp_path / f"site-{name}"
        metadata = site / f"{module}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[lydite]\n{entry or module} = {value or module}\n")
        if source is not None:
            (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return installed


@pytest.fixture
def offering() -> Callable[..., str]:
    """The source of a plugin whose hook returns an expression."""

    def source(returned: str, hook: str = "lydite_rewards") -> str:
        function = "def score(text: str) -> float: return 1.0"
        return f"import lydite\n{function}\n@lydite.hookimpl\ndef {hook}(): return {returned}\n"

    return source
