"""`docs/reference/` is what the code says, and leaves nothing out."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from lydite import hookspecs
from lydite.configfile.fields import ANY, all_fields
from lydite.plugins import import_file

DOCS = Path(__file__).parents[2] / "docs"
generate: Any = import_file(DOCS / "generate.py")


@pytest.mark.parametrize("name", ["config.md", "hooks.md", "cli.md"])
def test_pages_are_not_behind_the_code(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == generate.PAGES[name](), "run: make docs"


def test_every_page_is_checked() -> None:
    assert sorted(path.name for path in (DOCS / "reference").iterdir()) == sorted(generate.PAGES)


def test_every_hook_is_documented_with_its_exact_signature() -> None:
    """Against the source itself, so that the generator cannot agree with its own mistake."""
    page = (DOCS / "reference" / "hooks.md").read_text()
    source = inspect.getsource(hookspecs)
    heads = re.findall(r"^def (lydite_\w+\(.*\) -> .*):(?:  # type: ignore.*)?$", source, re.MULTILINE)
    assert heads
    assert re.findall(r"^## `(lydite_.*)`$", page, re.MULTILINE) == heads


def test_every_hook_says_what_its_parameters_are_and_what_it_returns() -> None:
    for name, function in generate.hooks().items():
        found = inspect.signature(function)
        described = re.findall(r":param (\w+):", function.__doc__)
        assert described == list(found.parameters), name
        assert (":returns:" in function.__doc__) == (found.return_annotation != "None"), name


def test_every_key_has_a_meaning_and_a_place() -> None:
    page = (DOCS / "reference" / "config.md").read_text()
    for path, field in all_fields().items():
        assert field.description, path
        if field.table is None:
            assert f"\n| `{path[-1]}` | {generate._cell(field.expected)} | " in page, path
        elif ANY not in field.expected and field.path != ("rewards",):
            assert f"## `[{'.'.join('NAME' if part == ANY else part for part in path)}]`" in page, path


def test_a_page_that_is_behind_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "reference")
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "reference" / "hooks.md").write_text("# Hooks\n")
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/reference/hooks.md is not what the code says; run: make docs\n"
