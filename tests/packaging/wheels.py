"""Builds the wheel of every distribution in the tree, and can install them all into an empty environment.

    python tests/packaging/wheels.py FOLDER [--install]

With `--install` an environment is made in FOLDER/venv that holds the wheels and what they say they need,
nothing else: a dependency that somebody forgot to name shows there, and so does one that base installs of
lydite must not have.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "plotly")
"""What no verifier's author should have to wait for."""


def projects() -> list[Path]:
    """The folder of every distribution: lydite itself first, then plugins, rewards and the tests' third party."""
    patterns = ("plugins/*", "rewards_contrib/*", "tests/third_party/*")
    found = [path.parent for pattern in patterns for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))]
    return [ROOT, *found]


def build_wheels(folder: Path) -> list[Path]:
    """The wheels of all projects, built into the folder with the build tools of this environment."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    for project in projects():
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(project)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            raise SystemExit(f"{project} does not build:\n{built.stdout}{built.stderr}")
    return sorted(folder.glob("*.whl"))


def make_environment(folder: Path) -> Path:
    """The interpreter of a new and empty environment."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    return folder / "bin" / "python"


def install(wheels: list[Path], folder: Path) -> None:
    """Installs the wheels with what they need, and lets `lydite plugins doctor` look at them from outside the tree."""
    python = make_environment(folder)
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraints]
    subprocess.run([*command, *map(str, wheels)], check=True)
    program = "import importlib.metadata as m, json; print(json.dumps([d.name.lower() for d in m.distributions()]))"
    names = json.loads(subprocess.run([python, "-c", program], capture_output=True, check=True).stdout)
    heavy = [name for name in HEAVY if name in names]
    if heavy:
        raise SystemExit(f"the base installs bring {', '.join(heavy)}, which only extras may")
    subprocess.run([folder / "bin" / "lydite", "plugins", "doctor"], check=True, cwd=folder)


def main(arguments: list[str]) -> None:
    """Builds, says what was built, and installs if asked to."""
    folder = Path(arguments[0]).absolute()
    wheels = build_wheels(folder)
    print(*(wheel.name for wheel in wheels), sep="\n")
    if "--install" in arguments:
        install(wheels, folder / "venv")


if __name__ == "__main__":
    main(sys.argv[1:])
