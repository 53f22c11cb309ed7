"""Loading plugins: what each failure says, and who may not come in."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite import LyditeError, hookimpl
from lydite.errors import ConfigError, PluginError, UnknownNameError
from lydite.plugins import BLOCK_VARIABLE, KINDS, Plugins, load_plugins

Install = Callable[..., Path]
Offering = Callable[..., str]


def load(*names: str, **options: Any) -> Plugins:
    return load_plugins(allow=names, environ={}, **options)


def failure_of(*names: str) -> str:
    """What a strict load raises; a load that is not strict must say the same and go on."""
    with pytest.raises(PluginError) as caught:
        load(*names)
    collected = load(*names, strict=False)
    assert str(caught.value) in [str(one) for one in collected.failures]
    assert "plain" in collected.offers["formats"]
    return str(caught.value)


def test_an_installed_plugin_is_found_by_its_entry_point(install: Install, offering: Offering) -> None:
    site = install("lydite-example", offering("{'example/one': score}"), version="2.1")
    plugins = load("lydite-example")
    offer = plugins.find("rewards", "example/one")
    owner = offer.owner
    assert offer.thing("x") == 1.0
    assert (owner.plugin, owner.distribution, owner.version) == ("lydite_example", "lydite-example", "2.1")
    assert str(owner) == "lydite-example 2.1"
    assert (owner.source, owner.location) == ("entry_point", "lydite_example")
    content = (site / "lydite_example.py").read_bytes()
    assert owner.sha256 == hashlib.sha256(b"lydite_example.py\0" + content + b"\0").hexdigest()
    assert plugins.failures == ()


def test_the_hash_covers_every_file_of_a_package_and_imports_nothing(install: Install, offering: Offering) -> None:
    site = install("lydite-deep", None, value="lydite_deep.inner.plugin")
    inner = site / "lydite_deep" / "inner"
    inner.mkdir(parents=True)
    (site / "lydite_deep" / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("")
    (inner / "plugin.py").write_text(offering("{}"))
    first = load("lydite-deep").owners[-1].sha256
    (inner / "data.py").write_text("x = 1")
    second = load("lydite-deep").owners[-1].sha256
    (inner / "data.py").rename(site / "lydite_deep" / "data.py")
    assert len({first, second, load("lydite-deep").owners[-1].sha256}) == 3


def test_a_parent_package_that_raises_is_a_failure_like_any_other(install: Install) -> None:
    site = install("lydite-deep", None, value="lydite_deep.plugin")
    (site / "lydite_deep").mkdir()
    (site / "lydite_deep" / "__init__.py").write_text("1 / 0")
    assert "plugin 'lydite_deep' of lydite-deep 1.0 failed to load: ZeroDivisionError" in failure_of("lydite-deep")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        (None, "ModuleNotFoundError: No module named 'lydite_sick'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        (
            "import lydite\n@lydite.hookimpl\ndef lydite_reward(): return {}",
            "there is no hook 'lydite_reward'; did you mean 'lydite_rewards'?",
        ),
        (
            "def lydite_rewards(): return {}",
            "lydite_rewards is not marked as a hook; put @lydite.hookimpl above it",
        ),
        (
            "import lydite\n@lydite.hookimpl\ndef lydite_step(raport): pass",
            "Argument(s) {'raport'} are declared in the hookimpl but can not be found in the hookspec",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_with_its_version_and_the_cause(
    install: Install, source: str | None, cause: str
) -> None:
    install("lydite-sick", source, version="0.3")
    message = failure_of("lydite-sick")
    assert message.startswith("plugin 'lydite_sick' of lydite-sick 0.3 failed to load: ")
    assert cause in message


def test_a_misspelt_hook_of_an_object_is_found_too(install: Install) -> None:
    source = "import lydite\nclass P:\n    @lydite.hookimpl\n    def lydite_stepp(self, report): pass\nplugin = P()\n"
    install("lydite-sick", source, value="lydite_sick:plugin")
    assert "unknown hook 'lydite_stepp'" in failure_of("lydite-sick")


def test_an_object_may_be_a_plugin(install: Install) -> None:
    source = (
        "import lydite\nclass P:\n    @lydite.hookimpl\n    def lydite_rewards(self): return {'x': abs}\nplugin = P()\n"
    )
    install("lydite-object", source, value="lydite_object:plugin")
    assert load("lydite-object").find("rewards", "x").thing is abs


@pytest.mark.parametrize(
    ("returned", "hook", "cause"),
    [
        ("None", "lydite_rewards", "lydite_rewards must return {name: thing}, got NoneType"),
        ("[score]", "lydite_rewards", "lydite_rewards must return {name: thing}, got list"),
        ("1 / 0", "lydite_judges", "ZeroDivisionError: division by zero"),
        ("{'x': 3}", "lydite_rewards", "the reward 'x' must be callable, got int"),
        ("{'x': None}", "lydite_datasets", "the data set 'x' must be callable, got NoneType"),
        ("{7: score}", "lydite_formats", "a format needs a name without spaces around it, got 7"),
        ("{' x': score}", "lydite_group_rewards", "a group reward needs a name without spaces around it, got ' x'"),
        ("{'': score}", "lydite_judges", "a judge needs a name"),
    ],
)
def test_a_hook_that_returns_garbage_is_named(
    install: Install, offering: Offering, returned: str, hook: str, cause: str
) -> None:
    install("lydite-sick", offering(returned, hook))
    message = failure_of("lydite-sick")
    assert message.startswith("plugin 'lydite_sick' of lydite-sick 1.0 failed to load: ")
    assert cause in message


def test_a_family_that_is_no_family_is_an_error(install: Install) -> None:
    install("lydite-sick", "import lydite\n@lydite.hookimpl\ndef lydite_family(model_type): return {'name': 'x'}\n")
    with pytest.raises(PluginError, match=r"must return a lydite\.Family or None, got dict"):
        load("lydite-sick").family("x")
    assert load().family("llama") is None


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ("lydite_rewards", "lydite_rewards", "reward"),
        ("lydite_rewards", "lydite_group_rewards", "group reward"),
        ("lydite_group_rewards", "lydite_group_rewards", "group reward"),
        ("lydite_formats", "lydite_formats", "format"),
        ("lydite_datasets", "lydite_datasets", "data set"),
        ("lydite_judges", "lydite_judges", "judge"),
    ],
)
def test_a_name_offered_twice_names_both_distributions(
    install: Install, offering: Offering, first: str, second: str, word: str
) -> None:
    install("lydite-one", offering("{'same': score}", first), version="1.1")
    install("lydite-two", offering("{'same': score}", second), version="2.2")
    message = failure_of("lydite-one", "lydite-two")
    assert f"the {word} 'same' is offered twice: by lydite-" in message
    assert "lydite-one 1.1" in message
    assert "lydite-two 2.2" in message
    assert load("lydite-one").failures == ()


def test_one_name_may_stand_for_things_of_different_kinds(install: Install, offering: Offering) -> None:
    install("lydite-one", offering("{'same': score}", "lydite_formats"))
    install("lydite-two", offering("{'same': score}", "lydite_datasets"))
    assert load("lydite-one", "lydite-two").find("formats", "same").owner.distribution == "lydite-one"


def test_two_distributions_may_call_their_entry_points_the_same(install: Install, offering: Offering) -> None:
    install("lydite-one", offering("{'one': score}"), entry="rewards")
    install("lydite-two", offering("{'two': score}"), entry="rewards")
    plugins = load("lydite-one", "lydite-two")
    assert plugins.find("rewards", "one").owner.distribution == "lydite-one"
    assert plugins.find("rewards", "two").owner.distribution == "lydite-two"


def test_one_module_that_two_distributions_claim_is_an_error(install: Install, offering: Offering) -> None:
    install("lydite-one", offering("{'one': score}"))
    install("lydite-two", None, value="lydite_one")
    message = failure_of("lydite-one", "lydite-two")
    assert "of lydite-two 1.0 failed to load" in message
    assert "lydite_one is the plugin 'lydite_one' of lydite-one 1.0 already" in message


def test_a_failure_keeps_the_other_plugins_when_they_are_only_listed(install: Install, offering: Offering) -> None:
    install("lydite-good", offering("{'good': score}"))
    install("lydite-sick", "1 / 0")
    plugins = load("lydite-good", "lydite-sick", strict=False)
    assert plugins.find("rewards", "good")
    assert [one.owner.distribution for one in plugins.failures] == ["lydite-sick"]
    assert "lydite-sick" not in [one.distribution for one in plugins.owners]


def test_only_plugins_of_the_list_are_imported(install: Install, offering: Offering) -> None:
    install("lydite-good", offering("{'good': score}"))
    install("lydite-evil", "raise SystemExit('imported')")
    plugins = load("LYDITE_Good")
    assert plugins.find("rewards", "good")
    assert "lydite-evil" in plugins.not_allowed
    assert "lydite_evil" not in sys.modules


def test_a_name_that_only_a_plugin_outside_the_list_offers_says_which_to_allow(
    install: Install, offering: Offering
) -> None:
    install("lydite-good", offering("{'good': score}"))
    with pytest.raises(
        UnknownNameError, match=r"no plugin offers the reward 'good'.*lydite-good.*add the one you trust"
    ):
        load().find("rewards", "good")


def test_an_unknown_name_gets_the_nearest(install: Install, offering: Offering) -> None:
    install("lydite-good", offering("{'math/equivalent': score}"))
    plugins = load("lydite-good")
    with pytest.raises(
        UnknownNameError, match="no plugin offers the reward 'math/equivalant'; did you mean 'math/equivalent'"
    ):
        plugins.find("rewards", "math/equivalant")
    with pytest.raises(UnknownNameError, match="did you mean 'math/equivalent'"):
        plugins.find("rewards", "equivalent")
    with pytest.raises(LyditeError, match=r"the judge 'x' \(there are none to choose from\)"):
        plugins.find("judges", "x")


def test_allowing_what_is_not_installed_is_an_error_with_the_nearest_and_how_to_get_it(
    install: Install, offering: Offering
) -> None:
    install("lydite-good", offering("{}"))
    with pytest.raises(ConfigError, match=r"'lydite-goood'.*did you mean 'lydite-good'\?$"):
        load("lydite-goood")
    with pytest.raises(ConfigError, match=r"'far-away'.*install it with: pip install far-away$"):
        load("far-away")
    assert load("lydite").owners[0].plugin == "builtin"


@pytest.mark.parametrize("name", ["lydite-good", "LYDITE_GOOD", "short"])
def test_blocking_by_distribution_or_by_entry_point(install: Install, offering: Offering, name: str) -> None:
    install("lydite-good", offering("{'good': score}"), entry="short")
    assert "good" not in load("lydite-good", block=[name]).offers["rewards"]
    blocked = load_plugins(allow=["lydite-good"], environ={BLOCK_VARIABLE: f" other, {name} ,"})
    assert "good" not in blocked.offers["rewards"]
    assert "lydite_good" not in sys.modules


def test_blocking_keeps_a_sick_plugin_from_being_imported(install: Install) -> None:
    install("lydite-sick", "1 / 0")
    assert load("lydite-sick", block=["lydite-sick"]).failures == ()


def test_blocking_what_is_not_installed_is_an_error(install: Install, offering: Offering) -> None:
    install("lydite-good", offering("{}"))
    with pytest.raises(ConfigError, match=r"--no-plugin lydite-god: nothing of that name .*'lydite-good'"):
        load("lydite-good", block=["lydite-god"])


def test_a_local_file_is_a_plugin(tmp_path: Path, offering: Offering) -> None:
    file = tmp_path / "mine.py"
    file.write_text(offering("{'mine/score': score}"))
    plugins = load(files=[file, str(file)])  # named twice, loaded once
    owner = plugins.find("rewards", "mine/score").owner
    assert (owner.source, owner.location, str(owner)) == ("file", str(file), "file mine.py")
    assert owner.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert load(files=[file]).find("rewards", "mine/score").thing is plugins.find("rewards", "mine/score").thing


def test_files_of_one_name_and_a_distribution_of_that_name_do_not_clash(
    tmp_path: Path, install: Install, offering: Offering
) -> None:
    install("lydite-mine", offering("{'third': score}"), entry="mine")
    for folder, name in (("a", "first"), ("b", "second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(offering(f"{{'{name}': score}}"))
    plugins = load("lydite-mine", files=[tmp_path / "a" / "mine.py", tmp_path / "b" / "mine.py"])
    assert {"first", "second", "third"} <= set(plugins.offers["rewards"])


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (None, "there is no such file"),
        ("1 / 0", "ZeroDivisionError"),
        ("def lydite_rewards(): return {}", "is not marked as a hook"),
    ],
)
def test_a_local_file_that_cannot_be_loaded_is_named(tmp_path: Path, source: str | None, cause: str) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    for _ in range(2):  # a failed import leaves nothing behind that would pass the second time
        with pytest.raises(LyditeError, match=f"mine.*{re.escape(cause)}"):
            load(files=[file])


def test_a_local_file_that_offers_what_a_plugin_offers_is_named(tmp_path: Path, offering: Offering) -> None:
    file = tmp_path / "mine.py"
    file.write_text(offering("{'plain': score}", "lydite_formats"))
    with pytest.raises(
        PluginError, match=r"'plain' is offered twice: by .*lydite.* and by .*mine\.py|mine\.py and by lydite"
    ):
        load(files=[file])


def test_functions_come_in_beside_plugins() -> None:
    base = load("lydite-text")
    plugins = base.with_functions({"mine": len})
    assert plugins.find("rewards", "mine").owner.source == "function"
    assert "mine" not in base.offers["rewards"]
    with pytest.raises(PluginError, match=r"'text/exact' is offered twice: by lydite-text .* and by a Python function"):
        base.with_functions({"text/exact": len})
    with pytest.raises(PluginError, match="must be callable"):
        base.with_functions({"mine": 3})  # type: ignore[dict-item]


def test_observers_are_told() -> None:
    told: list[object] = []

    class Observer:
        @hookimpl
        def lydite_start(self, run: object) -> None:
            told.append(run)

    plugins = load()
    plugins.observe(Observer(), "observer")
    plugins.hooks.lydite_start(run="the run")
    assert told == ["the run"]


def test_everything_installed_here_loads_and_offers_cannot_be_changed() -> None:
    plugins = load_plugins(environ={})
    assert plugins.failures == ()
    assert set(plugins.offers) == set(KINDS)
    with pytest.raises(TypeError):
        plugins.offers["rewards"]["x"] = None  # type: ignore[index]


@pytest.mark.parametrize("statement", ["import lydite", "import lydite.plugins as p; p.load_plugins()"])
def test_neither_importing_lydite_nor_loading_every_plugin_loads_torch(statement: str) -> None:
    heavy = (
        "{'torch', 'transformers', 'peft', 'datasets', 'pyarrow', 'numpy', 'sympy', 'reasoning_gym', 'spellchecker'}"
    )
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
