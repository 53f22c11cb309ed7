"""Every hook has somebody who uses it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import lydite
from lydite import hookspecs
from lydite.plugins import load_plugins

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("lydite_"))
FIRST_PARTY = {"lydite", "lydite-datasets", "lydite-families", "lydite-formats", "lydite-judges"} | {
    "lydite-reasoning-gym",
    "lydite-tensorboard",
    "lydite-text",
}


def implemented_in_core() -> set[str]:
    """Hooks that a function in core/lydite is marked for: the displays are objects that a run registers."""
    found = set()
    for file in Path(lydite.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(one) == "hookimpl" for one in node.decorator_list):
                found.add(node.name)
    return found


def test_there_are_few_hooks() -> None:
    assert len(HOOKS) == 12


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_real_user(hook: str) -> None:
    plugins = load_plugins(allow=sorted(FIRST_PARTY))
    users = {one.plugin_name for one in getattr(plugins.hooks, hook).get_hookimpls()}
    assert users or hook in implemented_in_core(), f"nobody uses {hook}; a hook comes with its first user"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_what_it_is_for_and_what_each_argument_means(hook: str) -> None:
    spec = getattr(hookspecs, hook)
    documented = inspect.getdoc(spec) or ""
    signature = inspect.signature(spec)
    assert documented
    for name, parameter in signature.parameters.items():
        assert f":param {name}:" in documented
        assert parameter.annotation is not inspect.Parameter.empty
    assert (":returns:" in documented) is (signature.return_annotation != "None")
