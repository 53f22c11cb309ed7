"""Every fenced block of the pages is run, or checked against the code that it speaks to."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from lydite.cli.app import app
from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.environments import make_environments
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import Plugins, load_plugins
from lydite.rewards import build_eval_stack, build_stack

ROOT = Path(__file__).parents[2]
WITHOUT_MEANING = {"git", "cd", "mkdir", "mv", "source"}  # commands that say nothing about lydite


def test_every_block_is_of_a_kind_that_is_checked(page: Path, desk: Any) -> None:
    source = page.read_text()
    blocks = desk.lay_out(page)
    assert len(re.findall(r"^ {0,3}(```|~~~)", source, re.MULTILINE)) == 2 * len(blocks), "a fence is not closed"
    odd = [str(block) for block in blocks if block.language not in ("python", "toml", "bash", "text")]
    assert not odd
    names = [block.file for block in blocks if block.file]
    assert len(names) == len(set(names)), "two blocks of a page stand for one file"


@pytest.mark.slow
def test_python_runs_in_the_order_of_its_page(page: Path, with_model: Any) -> None:
    from lydite.contracts import Family

    for block in with_model.lay_out(page):
        if block.language != "python":
            continue
        with_model.run(block)
        if "lydite.hookimpl" not in block.text:
            continue
        file = with_model.folder / (block.file or "a_plugin.py")
        file.write_text(block.text)
        plugins = load_plugins(allow=(), files=[file])
        offered = [
            name for kind in plugins.offers.values() for name, offer in kind.items() if offer.owner.source == "file"
        ]
        hooks = re.findall(r"def (lydite_\w+)", block.text)
        assert hooks
        if any(name.removeprefix("lydite_") in plugins.offers for name in hooks):
            assert offered
        if "lydite_family" in hooks:
            known = re.findall(r'model_type != "(\w+)"', block.text)
            assert known
            assert isinstance(plugins.family(known[0]), Family)
            assert plugins.family("another") is None


def test_toml_is_a_configuration_whose_names_and_options_exist(
    toml_block: Any, desk: Any, merged: Callable[..., dict[str, Any]]
) -> None:
    desk.lay_out(toml_block.page)
    table = tomllib.loads(toml_block.text)
    assert table, "an empty block"
    if "project" in table:
        check_project(table, desk.folder)
    elif "criteria" in table:
        from lydite_rubric.reading import rubric_from

        assert len(rubric_from(table).criteria) == len(table["criteria"])
    elif {"model", "data", "rewards"} <= set(table):
        file = desk.folder / "whole.toml"
        file.write_text(toml_block.text)
        check_names(
            read_config(file), table, load_plugins(allow=tuple(table.get("plugins", ())), files=files_of(table))
        )
    else:
        check_fragment(table, merged)


def check_fragment(table: Mapping[str, Any], merged: Callable[..., dict[str, Any]]) -> None:
    config = read_config(merged(table))
    allow = [*table["plugins"], "lydite-datasets"] if "plugins" in table else None
    check_names(config, table, load_plugins(allow=allow, files=files_of(table)))


def files_of(table: Mapping[str, Any]) -> list[Path]:
    return [Path(name) for name in table.get("plugin_files", ())]


def check_names(config: RunConfig, table: Mapping[str, Any], plugins: Plugins) -> None:
    """Finds everything that the table names, and checks the options it gives."""
    plugins = plugins.with_functions({"a_function": lambda text: 1.0})
    form = plugins.find("formats", config.format.use)
    made = form.thing(**check_options("format", form.thing, config.format.options))
    data = plugins.find("datasets", config.data.use)
    if "data" in table:
        check_options("data set", data.thing, config.data.options)
    if config.environment is not None:
        make_environments(config.environment, plugins)
    build_stack(config, plugins, made).close()
    if config.eval is not None:
        build_eval_stack(config, plugins, made).close()


def check_project(table: Mapping[str, Any], folder: Path) -> None:
    """The entry point's module is a file of the page, it is packed, and it is a plugin."""
    points = table["project"]["entry-points"]["lydite"]
    packed = table["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    assert packed == [f"{module}.py" for module in points.values()]
    for module in points.values():
        file = folder / f"{module}.py"
        if not file.exists():  # the page says that a file above gets this name
            file = folder / f"{module.removeprefix('lydite_')}.py"
        plugins = load_plugins(allow=(), files=[file])
        assert [owner.source for owner in plugins.owners] == ["entry_point", "file"]
    assert any(re.fullmatch(r"lydite\b.*", one) for one in table["project"]["dependencies"])


def test_commands_have_the_arguments_and_files_that_they_are_given(bash_block: Any) -> None:
    lines = [line for line in bash_block.text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        check_command(shlex.split(line, comments=True))


def check_command(words: list[str]) -> None:
    program, *arguments = words
    if program == "lydite":
        check_lydite(arguments)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        named = [one for one in arguments if "=" not in one]
        assert named
        assert set(named) <= set(targets), f"make {named}"
    elif program == "pip":
        check_install(arguments)
    elif program == "python":
        assert arguments == ["-m", "build"]
    else:
        assert program in WITHOUT_MEANING, f"nobody checks the command {program!r}"


def check_lydite(arguments: list[str]) -> None:
    """Parses the arguments as the command line would, down to the last subcommand, and runs nothing."""
    command: Any = typer.main.get_command(app)
    left, path = list(arguments), "lydite"
    while True:
        context = command.make_context(path, left, resilient_parsing=False)
        inner = [*context._protected_args, *context.args]
        if not hasattr(command, "commands") or not inner:
            return
        name, *left = inner
        assert name in command.commands, f"{path} has no command {name!r}"
        command, path = command.commands[name], f"{path} {name}"
        if "--set" in left:
            check_keys(left)


def check_keys(arguments: Iterable[str]) -> None:
    words = list(arguments)
    changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    small = {
        "model": {"path": "none"},
        "data": {"use": "none"},
        "rewards": {"correct": {"use": "none"}, "brief": {"use": "none"}},
    }
    read_config(small, overrides=changes)


def check_install(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    ours = {path.parent.name: path for path in ROOT.glob("*/*/pyproject.toml")}
    for word in arguments[1:]:
        name, _, asked = word.partition("[")
        if asked:
            of = ours.get(name.removeprefix("lydite-"), ROOT / "pyproject.toml")
            assert name in (".", "lydite") or of.parent != ROOT, word
            extras = tomllib.loads(of.read_text())["project"]["optional-dependencies"]
            assert set(asked.rstrip("]").split(",")) <= set(extras), word
        elif name.startswith("."):
            assert (ROOT / name / "pyproject.toml").is_file(), word
        else:
            own = {f"lydite-{one}" for one in ours}
            assert name in ("-e", "build", "lydite") or name in own, f"nobody checks pip install {word}"


def test_inline_installs_name_extras_that_exist(page: Path) -> None:
    for command in re.findall(r"`(pip install [^`]+)`", page.read_text()):
        check_install(shlex.split(command)[1:])


def test_the_tree_of_the_readme_is_the_tree() -> None:
    page = (ROOT / "README.md").read_text()
    named = {path.rstrip("/") for path in re.findall(r"^(?:  )?([\w./-]+/) {2,}", page, re.MULTILINE)}
    top = {path for path in named if (ROOT / path).is_dir()}
    inner = {path.name for folder in ("plugins", "rewards_contrib") for path in (ROOT / folder).glob("*/")}
    inner = {name for name in inner if list(ROOT.glob(f"*/{name}/pyproject.toml"))}
    assert named - top == inner
    assert {"core/lydite", "plugins", "rewards_contrib", "docs", "examples", "benchmarks", "tests"} == top


def test_the_layers_of_the_architecture_page_are_those_that_are_checked() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = page.partition("## Layers")[2].partition("```text")[2].partition("```")[0]
    rows = [re.split(r" {2,}", line)[0].split(", ") for line in drawn.strip().splitlines()]
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    height = {name: -level for level, row in enumerate(contract["layers"]) for name in row.split(" | ")}
    heights = [[height[name] for name in row if name != "..."] for row in rows]
    assert len(heights) > 8
    assert all(min(above) > max(below) for above, below in itertools.pairwise(heights)), heights


# The checks themselves can fail.


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["lydite", "trian"], "no command 'trian'"),
        (["lydite", "train", "--dry"], "No such option: --dry"),
        (["lydite", "report"], "Missing parameter: run"),
        (["lydite", "plugins", "inof", "x"], "no command 'inof'"),
        (["lydite", "plugins", "list", "--plugins", "x"], "No such option: --plugins"),
        (["lydite", "train", "a.toml", "--set", "learning_rat=1"], "there is no key 'learning_rat'"),
        (["make", "dmeo"], "make .*dmeo"),
        (["pip", "install", "lydite[leagl]"], "leagl"),
        (["pip", "install", "lydite-leagl"], "nobody checks pip install lydite-leagl"),
        (["pip", "install", "-e", "./plugins/nothing"], "nothing"),
        (["rm", "-rf", "runs"], "nobody checks the command 'rm'"),
    ],
)
def test_a_wrong_command_is_noticed(command: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        check_command(command)


@pytest.mark.parametrize(
    "text",
    [
        "[train]\nmax_step = 3",
        '[rewards.a]\nuse = "text/nummer"',
        '[rewards.a]\nuse = "text/number"\noptions = { tolerence = 1 }',
        '[data]\nuse = "jsonl"\noptions = { pth = "x.jsonl" }',
        '[format]\nuse = "tag"',
        'plugins = ["lydite-nothing"]',
        '[eval.reward]\nuse = "text/nummer"',
    ],
)
def test_a_wrong_configuration_is_noticed(text: str, desk: Any, merged: Callable[..., dict[str, Any]]) -> None:
    table = tomllib.loads(text)
    with pytest.raises(ConfigError):
        check_fragment(table, merged)
