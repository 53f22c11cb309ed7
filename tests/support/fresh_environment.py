"""An environment of its own for a package: lydite is lent to it, everything else is installed, no index is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path


class FreshEnvironment:
    """Runs commands where `python`, `pip`, `pytest` and `lydite` are those of a new environment."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        binaries = folder / "venv" / "bin"
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        (site / "lent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        commands = {"pip": "-m pip", "pytest": "-m pytest", "lydite": "-c 'from lydite.cli import main; main()'"}
        for name, command in commands.items():
            script = binaries / name
            script.write_text(f'#!/bin/sh\nexec "{binaries}/python" {command} "$@"\n')
            script.chmod(0o755)
        clean = {one: value for one, value in os.environ.items() if not one.startswith(("PYTHON", "PYTEST", "VIRTUAL"))}
        self._environ = {
            **clean,
            "PATH": f"{binaries}{os.pathsep}{clean['PATH']}",
            "COLUMNS": "160",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip takes this for the value of `build_isolation`
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.binaries = binaries
        """The folder that its commands lie in."""

    def run(
        self, *command: str, cwd: Path, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The ended process, whatever its exit code."""
        merged = {**self._environ, **(environ or {})}
        return subprocess.run(command, cwd=cwd, env=merged, capture_output=True, text=True, timeout=180, check=False)


def make_environment(folder: Path) -> FreshEnvironment:
    """A new environment in the folder, apart from the one that runs the tests."""
    environment = FreshEnvironment(folder)
    assert environment.binaries.parent != Path(sys.prefix)
    return environment
