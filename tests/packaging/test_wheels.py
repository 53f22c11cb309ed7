"""The wheels: what is in them, and that they work without the tree they were built from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from lydite.plugins import import_file

HERE = Path(__file__).parent
wheels_module: Any = import_file(HERE / "wheels.py")
ROOT: Path = wheels_module.ROOT
THIRD_PARTY = "lydite-cites"
LIGHT = {"cloudpickle", "pebble", "pluggy", "pydantic", "regex", "rich", "tomli-w", "typer", "typing-extensions"}

CONFIG = """
plugins = ["lydite-datasets", "lydite-families", "lydite-formats", "lydite-text", "lydite-cites"]
[model]
path = "model"
dtype = "float32"
device = "cpu"
[data]
use = "jsonl"
options = { path = "train.jsonl" }
[format]
use = "tags"
instruct = false
[rewards.correct]
use = "text/exact"
[rewards.cited]
use = "cites"
weight = 0.5
[eval]
n = 2
reward = { use = "text/exact" }
[stack]
workers = 1
[train]
max_steps = 1
num_generations = 2
per_device_train_batch_size = 4
max_completion_length = 8
"""


def read(wheel: Path, name: str) -> str:
    with ZipFile(wheel) as archive:
        (path,) = [one for one in archive.namelist() if one.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def names(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, "METADATA"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(wheels_module.build_wheels(tmp_path_factory.mktemp("wheels")))


@pytest.fixture(scope="module")
def environment(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheels in it, and other people's packages lent from this one.

    A folder named in a .pth file is searched last, and .pth files inside it are not read: this environment's
    editable installs stay out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*command, "--quiet", "--disable-pip-version-check", *map(str, wheels)], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    lent = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (site / "lent.pth").write_text("\n".join(lent))
    return folder


def run(environment: Path, where: Path, *command: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [environment / "bin" / command[0], *command[1:]],
        cwd=where,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_every_distribution_has_a_wheel_with_its_types_license_and_page(wheels: list[Path]) -> None:
    assert len(wheels) == len(wheels_module.projects())
    for wheel in wheels:
        if metadata(wheel)["Name"] == THIRD_PARTY:
            continue
        content, headers = names(wheel), metadata(wheel)
        assert headers["License-Expression"] == "Apache-2.0", wheel.name
        assert any(name.endswith("/LICENSE") for name in content), wheel.name
        assert any(name.endswith("/py.typed") for name in content), wheel.name
        assert len(str(headers.get_payload())) > 100, f"{wheel.name}: its README says nothing"
        assert not [name for name in content if "test" in name.split("/")[:2]], wheel.name


@pytest.mark.slow
def test_worked_cases_calibration_rubrics_and_word_lists_travel_with_the_code(wheels: list[Path]) -> None:
    kinds: set[str] = set()
    for project in wheels_module.projects()[1:]:
        (wheel,) = [one for one in wheels if one.name.startswith(f"{project_name(project)}-")]
        for package in [path.parent for path in project.glob("*/__init__.py") if path.parent.name != "tests"]:
            files = [path.relative_to(project) for path in package.rglob("*") if path.is_file()]
            data = {path.as_posix() for path in files if path.suffix not in (".py", ".pyc")}
            assert data <= set(names(wheel)), wheel.name
            kinds |= {path.parts[1] for path in files if len(path.parts) > 2}
    assert {"cases", "calibration", "rubrics"} <= kinds


def project_name(project: Path) -> str:
    return str(tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"]).replace("-", "_")


@pytest.mark.slow
def test_every_plugin_is_found_by_its_entry_point_and_needs_lydite(wheels: list[Path]) -> None:
    for wheel in wheels:
        headers = metadata(wheel)
        if headers["Name"] == "lydite":
            assert "lydite = lydite.cli:main" in read(wheel, "entry_points.txt")
            continue
        assert "[lydite]" in read(wheel, "entry_points.txt"), wheel.name
        assert any(one.startswith("lydite>=") for one in headers.get_all("Requires-Dist", [])), wheel.name


@pytest.mark.slow
def test_the_base_stays_light_and_every_plugin_has_an_extra(wheels: list[Path]) -> None:
    headers = next(metadata(wheel) for wheel in wheels if metadata(wheel)["Name"] == "lydite")
    base = {one.split(">")[0] for one in headers.get_all("Requires-Dist", []) if "extra ==" not in one}
    assert base == LIGHT
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    first_party = {metadata(wheel)["Name"] for wheel in wheels} - {"lydite", THIRD_PARTY}
    assert {f"lydite-{name}" for name, needs in extras.items() if needs[0] == f"lydite-{name}"} == first_party


def test_the_version_is_said_once_more_in_the_package() -> None:
    import lydite

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == lydite.__version__


@pytest.mark.slow
def test_the_installed_packages_are_what_runs(environment: Path, tmp_path: Path) -> None:
    program = (
        "import importlib.metadata as m, importlib, json, lydite\n"
        "modules = [importlib.import_module(e.module) for e in m.entry_points(group='lydite')]\n"
        "print(json.dumps([one.__file__ for one in [lydite, *modules]]))"
    )
    ran = run(environment, tmp_path, "python", "-c", program)
    files = json.loads(ran.stdout)
    assert len(files) == len(wheels_module.projects()), ran.stderr
    assert all(Path(file).is_relative_to(environment) for file in files), files


@pytest.mark.slow
def test_a_step_is_trained_from_wheels_with_plugins_by_name(environment: Path, tmp_path: Path) -> None:
    from support.tiny_model import make_tiny_model

    make_tiny_model(tmp_path / "model", "llama")
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(8)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "wheels.toml").write_text(CONFIG)

    checked = run(environment, tmp_path, "lydite", "train", "wheels.toml", "--dry-run")
    assert checked.returncode == 0, checked.stderr
    assert not (tmp_path / "runs").exists()
    ran = run(environment, tmp_path, "lydite", "train", "wheels.toml")
    assert ran.returncode == 0, ran.stderr

    folder = tmp_path / "runs" / "wheels"
    (metrics,) = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert metrics["step"] == 1
    assert {"rewards/correct/mean", "rewards/cited/mean"} <= metrics.keys()
    plugins = {one["distribution"] for one in json.loads((folder / "manifest.json").read_text())["plugins"]}
    assert plugins == {
        "lydite", "lydite-datasets", "lydite-families", "lydite-formats", "lydite-text", "lydite-cites"
    }  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 1
