"""Distributions that exist for one test: a module and its metadata in a folder on sys.path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def install_distribution(
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str | None,
    *,
    version: str = "1.0",
    entry: str = "",
    value: str = "",
) -> Path:
    """The folder that a distribution with the source of its module, and its entry point, was put into."""
    module = name.replace("-", "_")
    metadata = site / f"{module}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: For a test.\n"
    )
    (metadata / "entry_points.txt").write_text(f"[lydite]\n{entry or module} = {value or module}\n")
    if source is not None:
        (site / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, module, raising=False)
    return site
