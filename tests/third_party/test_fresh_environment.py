"""A stranger's verifier in an environment that holds lydite, its light dependencies, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CITES = Path(__file__).parent / "lydite-cites"

PROGRAM = """
import importlib.util, json, sys
import lydite
from lydite.options import check_options
from lydite.plugins import load_plugins

plugins = load_plugins(allow=["lydite-cites"])
offer = plugins.find("rewards", "cites")
options = check_options("reward 'cites'", offer.thing, {"mark": "Art."})
said = [lydite.Completion(text, lydite.Parsed(text)) for text in ("see § 3", "see Art. 3", "see")]
try:
    check_options("reward 'cites'", offer.thing, {"marks": "x"})
except lydite.LyditeError as error:
    refused = str(error)
print(json.dumps({
    "owner": str(offer.owner),
    "default": [offer.thing(one) for one in said],
    "with option": [offer.thing(one, **options) for one in said],
    "refused": refused,
    "files": [lydite.__file__, sys.modules["lydite_cites"].__file__],
    "torch": importlib.util.find_spec("torch") is not None,
}))
"""


def needed_by(name: str) -> set[str]:
    """The distributions that an installed one needs, directly or not, without extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for line in metadata.requires(waiting.pop()) or ():
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if requirement.name.lower() not in found:
                found.add(requirement.name.lower())
                waiting.append(requirement.name)
    return found


def lend(name: str, site: Path) -> None:
    """Links an installed distribution's own files and folders into another environment: pip without a network."""
    distribution = metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of the environment."""
    folder = tmp_path_factory.mktemp("fresh")
    for project in (ROOT, CITES):
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(project)]
        subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    interpreter = folder / "venv" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(interpreter),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
    ]
    subprocess.run([*install, *map(str, folder.glob("*.whl"))], check=True, capture_output=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for name in needed_by("lydite"):
        lend(name, site)
    return interpreter


def answer(python: Path, where: Path, program: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ran = subprocess.run([python, "-c", program], cwd=where, env=clean, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.slow
def test_the_reward_is_there_by_name_and_torch_is_not(python: Path, tmp_path: Path) -> None:
    told = answer(python, tmp_path, PROGRAM)
    assert told["owner"] == "lydite-cites 1.2.0"
    assert told["default"] == [1.0, 0.0, 0.0]
    assert told["with option"] == [0.0, 1.0, 0.0]
    assert told["refused"] == "reward 'cites' has no option 'marks'; did you mean 'mark'?"
    assert all(Path(file).is_relative_to(python.parents[1]) for file in told["files"])
    assert told["torch"] is False


@pytest.mark.slow
def test_it_is_not_imported_for_a_run_that_does_not_allow_it(python: Path, tmp_path: Path) -> None:
    program = (
        "import json, sys; from lydite.plugins import load_plugins; p = load_plugins(allow=[]);"
        "print(json.dumps([list(p.not_allowed), 'lydite_cites' in sys.modules, list(p.offers['rewards'])]))"
    )
    assert answer(python, tmp_path, program) == [["lydite-cites"], False, []]
