"""The command line as a whole: exit codes, errors, help, environment, and what `train` and `report` are told."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lydite as package
from lydite.cli import ENVIRONMENT, set_environment
from lydite.errors import ConfigError, DataError, LyditeError, ModelError, PluginError, UnknownNameError

CONFIG = """
[model]
path = "no/such/model"
[data]
use = "jsonl"
[rewards.correct]
use = "text/exact"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "words.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run_folder(config: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "earlier"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('name = "earlier"\nseed = 5\n' + CONFIG)
    return folder


class Calls:
    """Stands in for `lydite.api`, and notes what the command asked of it."""

    def __init__(self) -> None:
        self.config: Any = None
        self.given: dict[str, Any] = {}
        self.error: BaseException | None = None

    def train(self, config: Any, **given: Any) -> None:
        self.config, self.given = config, given
        if self.error is not None:
            raise self.error

    def check(self, config: Any, **given: Any) -> Any:
        self.train(config, **given)
        return type("CheckReport", (), {"lines": ("data: 3 samples", "model: tiny")})()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setitem(sys.modules, "lydite.api", calls)  # type: ignore[arg-type]
    monkeypatch.setattr(package, "api", calls, raising=False)
    return calls


def test_version(lydite: Callable[..., Any]) -> None:
    assert lydite("--version").out == f"lydite {package.__version__}\n"


@pytest.mark.parametrize("command", [(), ("train",), ("report",), ("plugins",), ("plugins", "info")])
def test_help_is_one_screen(lydite: Callable[..., Any], command: tuple[str, ...]) -> None:
    ran = lydite(*command, "--help")
    assert ran.code == 0
    assert ran.out.startswith("Usage: lydite")
    assert len(ran.out.splitlines()) <= 24
    assert lydite(*command, "-h").out == ran.out


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code"),
        [(ConfigError, 2), (UnknownNameError, 2), (DataError, 1), (PluginError, 1), (ModelError, 1), (LyditeError, 1)],
    )
    def test_ours_are_one_line_without_a_traceback(
        self, lydite: Callable[..., Any], config: Path, api: Calls, error: type[LyditeError], code: int
    ) -> None:
        api.error = error("it went [bold]wrong[/bold]: " + "x" * 300)
        ran = lydite("train", config)
        assert ran.code == code
        assert ran.err == f"error: {api.error}\n"
        assert ran.out == ""

    def test_they_are_red_on_a_terminal(self, lydite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert lydite("train").err.startswith("\x1b[31merror: ")

    def test_a_bug_keeps_its_traceback(self, lydite: Callable[..., Any], config: Path, api: Calls) -> None:
        api.error = ZeroDivisionError("ours")
        with pytest.raises(ZeroDivisionError):
            lydite("train", config)

    def test_a_wrong_command_line(self, lydite: Callable[..., Any], config: Path) -> None:
        assert lydite("trian").code == 2
        assert lydite("train", config, "--stes", "x").code == 2

    def test_a_configuration_that_is_wrong(self, lydite: Callable[..., Any], config: Path) -> None:
        ran = lydite("train", config, "--set", "max_steps=0", "--dry-run")
        assert ran.code == 2
        assert "error: --set max_steps=0: train.max_steps: got 0, expected a whole number of at least 1" in ran.err

    def test_nothing_to_train(self, lydite: Callable[..., Any]) -> None:
        assert "needs a configuration file" in lydite("train").err


class TestTrain:
    def test_flags_reach_the_configuration(self, lydite: Callable[..., Any], config: Path, api: Calls) -> None:
        config.with_name("mine.py").touch()
        ran = lydite(
            "train", config, "--set", "learning_rate=0.5", "--set", "data.options.path=a b.jsonl", "--name", "mine",
            "--plugin", "mine.py", "--no-plugin", "a", "--no-plugin", "b", "--overwrite",
        )  # fmt: skip
        assert ran.code == 0
        assert api.config.train.learning_rate == 0.5
        assert api.config.data.options == {"path": "a b.jsonl"}
        assert (api.config.name, api.config.plugin_files) == ("mine", (str(config.parent / "mine.py"),))
        assert api.given == {"resume": None, "overwrite": True, "block": ("a", "b")}

    def test_the_run_takes_the_name_of_the_file(self, lydite: Callable[..., Any], config: Path, api: Calls) -> None:
        lydite("train", config)
        assert api.config.name == "words"

    def test_a_dry_run_checks_and_does_not_train(self, lydite: Callable[..., Any], config: Path, api: Calls) -> None:
        ran = lydite("train", config, "--dry-run", "--no-plugin", "a")
        assert ran.out.splitlines() == ["data: 3 samples", "model: tiny", "nothing was trained: this was a dry run"]
        assert api.given == {"block": ("a",)}

    def test_resume_takes_the_configuration_of_the_run(
        self, lydite: Callable[..., Any], run_folder: Path, api: Calls
    ) -> None:
        assert lydite("train", "--resume", run_folder).code == 0
        assert (api.config.name, api.config.seed) == ("earlier", 5)
        assert api.given["resume"] == run_folder
        assert lydite("train", "--resume", "earlier", "--set", "seed=6").code == 0
        assert (api.given["resume"], api.config.seed) == (Path("runs/earlier"), 6)

    def test_resume_with_a_file_keeps_the_name_of_the_run(
        self, lydite: Callable[..., Any], config: Path, run_folder: Path, api: Calls
    ) -> None:
        lydite("train", config, "--resume", run_folder)
        assert (api.config.name, api.config.seed) == ("earlier", 42)

    def test_a_plugin_file_that_the_run_has_already_is_no_change(
        self, lydite: Callable[..., Any], run_folder: Path, api: Calls
    ) -> None:
        file = run_folder / "config.toml"
        file.write_text(f'plugin_files = ["{run_folder}/mine.py"]\n' + file.read_text())
        (run_folder / "mine.py").touch()
        lydite("train", "--resume", run_folder, "--plugin", run_folder / "mine.py")
        assert api.config.plugin_files == (f"{run_folder}/mine.py",)

    def test_resume_and_overwrite_exclude_each_other(self, lydite: Callable[..., Any], run_folder: Path) -> None:
        ran = lydite("train", "--resume", run_folder, "--overwrite")
        assert ran.code == 2
        assert "leave one of them out" in ran.err

    def test_an_interruption_says_how_to_go_on(
        self, lydite: Callable[..., Any], config: Path, run_folder: Path, api: Calls
    ) -> None:
        api.error = KeyboardInterrupt()
        ran = lydite("train", config, "--name", "earlier")
        assert ran.code == 130
        assert ran.err == "interrupted; no step is saved yet; to go on: lydite train --resume runs/earlier\n"
        (run_folder / "checkpoints" / "step-000012").mkdir(parents=True)
        (run_folder / "checkpoints" / "step-000008").mkdir()
        assert (
            "interrupted; everything up to step 12 is saved; to go on: " in lydite("train", "--resume", run_folder).err
        )
        ran = lydite("train", config)
        assert ran.code == 130
        assert ran.err == "interrupted before the first step; nothing was kept\n"


class TestRuns:
    def test_a_run_that_is_not_there_gets_the_nearest(self, lydite: Callable[..., Any], run_folder: Path) -> None:
        for command in (["report", "runs/erlier"], ["train", "--resume", "erlier"]):
            ran = lydite(*command)
            assert ran.code == 2
            assert "there is no such run" in ran.err
            assert "did you mean 'runs/earlier'?" in ran.err

    def test_a_folder_that_is_no_run(self, lydite: Callable[..., Any], run_folder: Path) -> None:
        ran = lydite("report", run_folder.parent)
        assert ran.code == 2
        assert "it has no config.toml" in ran.err


class TestEnvironment:
    def test_what_the_user_has_set_stays(self) -> None:
        environ = {"OMP_WAIT_POLICY": "ACTIVE"}
        set_environment(environ)
        assert environ == {**ENVIRONMENT, "OMP_WAIT_POLICY": "ACTIVE"}

    def test_it_is_set_before_torch_could_be_loaded(self, tmp_path: Path) -> None:
        """A plugin file sees the variables, and is itself what would load torch."""
        plugin = tmp_path / "mine.py"
        plugin.write_text(
            "import os, sys\nprint(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
        )
        ran = subprocess.run(
            [Path(sys.executable).parent / "lydite", "plugins", "list", "--plugin", plugin],
            capture_output=True, text=True, check=True,
            env={name: value for name, value in os.environ.items() if name not in ENVIRONMENT},
        )  # fmt: skip
        assert ran.stdout.splitlines()[0] == "PASSIVE 0 False"

    def test_a_spawned_worker_does_not_pay_for_the_command_line(self) -> None:
        """Workers import the main module again; it must not bring typer and rich with it."""
        program = "import sys, lydite.cli; sys.exit(bool({'typer', 'rich', 'pydantic'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
