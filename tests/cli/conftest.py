"""Running the command line in this process, and distributions that exist for one test."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.distributions import install_distribution

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

    def install(name: str, source: str | None, version: str = "1.0") -> Path:
        return install_distribution(tmp_path / f"site-{name}", monkeypatch, name, source, version=version)

    return install
