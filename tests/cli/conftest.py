"""Running the command line in this process, and distributions that exist for one test."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lydite.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def lydite(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Runs `lydite ARGUMENTS` and gives its exit code and what it printed."""
    logger = logging.getLogger("lydite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    environ = dict(os.environ)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    yield run
    logger.handlers[:], logger.level, logger.propagate = before
    os.environ.clear()
    os.environ.update(environ)


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a distribution of one module for the length of a test."""

    def install(name: str, source: str | None, version: str = "1.0", module: str = "") -> Path:
        module = module or name.replace("-", "_")
        site = tmp_path / f"site-{name}"
        metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: For a test.\n"
        )
        (metadata / "entry_points.txt").write_text(f"[lydite]\n{module} = {module}\n")
        if source is not None:
            (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return install
