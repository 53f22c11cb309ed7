"""Writes `docs/reference/` from the code: the configuration, the hooks, the command line.

python docs/generate.py            write the pages
python docs/generate.py --check    exit with 1 when a page is not what the code says
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main
from typer.testing import CliRunner

from lydite import hookspecs
from lydite.cli.app import app
from lydite.configfile.fields import ANY, ConfigField, all_fields, find_field
from lydite.configfile.problems import shown
from lydite.configfile.trl import TrlField, trl_fields
from lydite.contracts import GIVEN

REFERENCE = Path(__file__).parent / "reference"
NOTICE = "<!-- Written by docs/generate.py from the code; `make docs` writes it again. -->"
WIDTH = "88"  # columns of the help texts: what fits beside a margin on a page


def config_page() -> str:
    """Every table and key of a configuration, with type, default and meaning, read off `lydite.config`."""
    lines = [
        "# Configuration",
        NOTICE,
        "A run is one TOML file. `lydite train run.toml --set KEY=VALUE` changes a key: by its dotted path, or by its "
        "last name where only one key has it; an empty value brings the default back. In Python the same keys make a "
        "`lydite.RunConfig`. Unknown keys are errors. A key without a default has to be given; *none* is a key that "
        "is left out.",
        "## At the top of the file",
        *_key_table(()),
    ]
    shown_in: dict[Any, str] = {}
    for path, field in all_fields().items():
        if field.table is None or any(other[:-1] == path and other[-1] == ANY for other in all_fields()):
            continue
        name = ".".join("NAME" if part == ANY else part for part in path)
        lines += [f"## `[{name}]`", _summary(field)]
        lines += [f"The same keys as {shown_in[field.table]}."] if field.table in shown_in else _key_table(path)
        shown_in.setdefault(field.table, f"`[{name}]`")
    return "\n\n".join(lines) + "\n"


def hooks_page() -> str:
    """Every hook with its exact signature and what its docstring says, and the names that a reward may take."""
    lines = [
        "# Hooks",
        NOTICE,
        "A plugin is a module with any of these functions, each under `@lydite.hookimpl`. Offers return "
        "`{name: thing}`. A name that two plugins offer is an error, and so is a hook that does not exist.",
    ]
    for name, function in hooks().items():
        lines += [f"## `{signature(name, function)}`", _docstring(function)]
    lines += ["## What a reward may ask for", *_given_table()]
    return "\n\n".join(lines) + "\n"


def cli_page() -> str:
    """The `--help` of `lydite` and of each of its commands."""
    lines = ["# Command line", NOTICE]
    for words in _commands(typer.main.get_command(app), ()):
        result = CliRunner().invoke(
            app, [*words, "--help"], prog_name="lydite", env={"COLUMNS": WIDTH, "NO_COLOR": "1"}
        )
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        lines += [f"## `{' '.join(('lydite', *words))}`", f"```text\n{text}\n```"]
    lines += [
        "## Exit codes",
        "| code | meaning |\n| --- | --- |\n| 0 | done |\n| 1 | failed, with one line on what and why |\n"
        "| 2 | the command line or the configuration is wrong |\n| 130 | interrupted |\n"
        "| 143 | told to end (SIGTERM) |",
    ]
    return "\n\n".join(lines) + "\n"


def trl_page() -> str:
    """Every argument of `trl grpo`, in the order of what becomes of it."""
    lines = [
        "# Arguments of TRL",
        NOTICE,
        "Every argument of `trl grpo` of TRL 1.16 (GRPOScriptArguments, GRPOConfig, ModelConfig, DatasetMixtureConfig) "
        "and what `lydite train --from-trl` makes of it. Where a file is silent TRL's default holds, also where "
        "lydite's is another. [Moving from TRL](../from-trl.md) says how to read this.",
    ]
    fields = trl_fields().values()
    for fate, (title, text) in _FATES.items():
        lines += [f"## {title}", text, _trl_table([one for one in fields if one.fate == fate])]
    return "\n\n".join(lines) + "\n"


_FATES = {
    "same": ("The same name", "In `[train]`, with the same meaning."),
    "renamed": ("Another name", "The value goes over as it is."),
    "worked out": ("Worked out", "More than one argument has a part in the key, or its values have other names."),
    "missing": ("Missing", "An error, unless the value asks for nothing."),
    "not needed": ("Not needed", "Dropped, with a line that says so: nothing that is learned depends on it here."),
}

PAGES: Mapping[str, Callable[[], str]] = {
    "config.md": config_page, "hooks.md": hooks_page, "cli.md": cli_page, "trl.md": trl_page,
}  # fmt: skip


def hooks() -> dict[str, Callable[..., Any]]:
    """The hook specifications by name, in the order of the file."""
    return {name: thing for name, thing in vars(hookspecs).items() if name.startswith("lydite_")}


def signature(name: str, function: Callable[..., Any]) -> str:
    """The hook as its source has it: `lydite_step(report: StepReport) -> None`."""
    found = inspect.signature(function)
    parameters = ", ".join(f"{one.name}: {one.annotation}" for one in found.parameters.values())
    return f"{name}({parameters}) -> {found.return_annotation}"


def main(arguments: list[str]) -> int:
    """Writes or checks every page; the exit code."""
    stale = [name for name, page in PAGES.items() if not _is_current(REFERENCE / name, page())]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/reference/{name} is not what the code says; run: make docs")
        return int(bool(stale))
    REFERENCE.mkdir(exist_ok=True)
    for name in stale:
        (REFERENCE / name).write_text(PAGES[name]())
        print(f"docs/reference/{name}")
    return 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _summary(field: ConfigField) -> str:
    """What the key says of its table, or else what the table's class says."""
    prefix = "" if field.required or field.default is not None else "Optional. "
    return prefix + field.description


def _key_table(path: tuple[str, ...]) -> Iterator[str]:
    rows = [field for field in all_fields().values() if field.path[:-1] == path and field.table is None]
    cells = ["| key | takes | default | meaning |\n| --- | --- | --- | --- |"]
    cells += [
        f"| `{field.path[-1]}` | {_cell(field.expected)} | {_default(field)} | {_cell(field.description)} |"
        for field in rows
    ]
    yield "\n".join(cells)


def _default(field: ConfigField) -> str:
    if field.required:
        return "**needed**"
    if field.default is None:
        return "*none*"
    return f"`{shown(field.default)}`" if field.default != {} else "`{}`"


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def _trl_table(fields: list[TrlField]) -> str:
    """Names with the keys of lydite, TRL's default and what is to be said, as far as any of them has these."""
    heads = ["argument"]
    heads += ["key"] if any(one.keys for one in fields) and fields[0].fate != "same" else []
    heads += ["TRL's default", "lydite's"] if fields[0].fate in ("same", "renamed") else []
    heads += ["asks for nothing"] if any(one.neutral for one in fields) else []
    heads += ["meaning"] if any(one.why for one in fields) else []
    rows = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for one in fields:
        ours = find_field(tuple(one.keys[0].split("."))) if one.keys else None
        cells = {
            "argument": f"`{one.name}`",
            "key": ", ".join(f"`{key}`" for key in one.keys),
            "TRL's default": "*none*" if one.default is None else f"`{shown(one.default)}`",
            "lydite's": "" if ours is None else _default(ours),
            "asks for nothing": ", ".join(
                "left out" if value is None else f"`{shown(value)}`" for value in one.neutral
            ),
            "meaning": _cell(one.why),
        }
        rows.append(f"| {' | '.join(cells[head] for head in heads)} |")
    return "\n".join(rows)


def _docstring(function: Callable[..., Any]) -> str:
    """The docstring with its `:param:` and `:returns:` lines as a list."""
    lines: list[str] = []
    for line in inspect.cleandoc(function.__doc__ or "").splitlines():
        if line.startswith(":param "):
            name, _, rest = line.removeprefix(":param ").partition(":")
            lines.append(f"- `{name}`:{rest}")
        elif line.startswith(":returns:"):
            lines.append(f"- returns{line.removeprefix(':returns:')}")
        elif line.startswith(" "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _given_table() -> Iterator[str]:
    yield "By the names of its positional parameters. Any other name is a column of the data set."
    yield "\n".join(
        ["| name | is |\n| --- | --- |", *(f"| `{name}` | {_cell(text)} |" for name, text in GIVEN.items())]
    )


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*words, name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
