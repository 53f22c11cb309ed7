"""`lydite plugins`: the list, one entry, and the doctor."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOOD = '''
from typing import Literal
import lydite

@lydite.reward(range=(-1.0, 1.0), timeout=2.5)
def near(answer: str, reference: str, town, *, tolerance: float = 0.5, unit: str, mode: Literal["a", "b"] = "a"):
    """How near the answer is.

    Counted in units.
    """
    return 0.0

@lydite.hookimpl
def lydite_rewards():
    return {"example/near": near}

@lydite.hookimpl
def lydite_step(report):
    pass
'''


def entry(content: Any, plugin: str) -> dict[str, Any]:
    return next(one for one in content["plugins"] if one["plugin"] == plugin)


def test_the_list_is_what_the_bare_command_prints(lydite: Callable[..., Any]) -> None:
    bare, listed = lydite("plugins"), lydite("plugins", "list")
    assert bare.code == 0
    assert bare.out == listed.out
    assert "builtin" in bare.out
    assert "formats: plain" in bare.out
    assert lydite("plugins", "--json").out == lydite("plugins", "list", "--json").out


def test_the_list_as_json_says_who_offers_what(lydite: Callable[..., Any], distribution: Callable[..., Any]) -> None:
    distribution("lydite-example", GOOD)
    one = entry(json.loads(lydite("plugins", "list", "--json").out), "lydite_example")
    assert (one["distribution"], one["version"], one["source"]) == ("lydite-example", "1.0", "entry_point")
    assert one["offers"]["rewards"] == ["example/near"]
    assert one["hooks"] == ["lydite_step"]
    assert one["failures"] == []
    assert len(one["sha256"]) == 64


def test_a_plugin_that_fails_is_in_the_list_and_points_at_the_doctor(
    lydite: Callable[..., Any], distribution: Callable[..., Any]
) -> None:
    distribution("lydite-broken", "1 / 0")
    ran = lydite("plugins")
    assert ran.code == 0
    assert "lydite-broken 1.0" in ran.out
    assert "fails to load" in ran.out
    assert "lydite plugins doctor" in ran.out


def test_a_local_file_can_be_listed(lydite: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD.replace("example/near", "mine/near"))
    assert "mine/near" in lydite("plugins", "list", "--plugin", file).out


def test_json_before_the_subcommand_is_told_where_it_goes(lydite: Callable[..., Any]) -> None:
    ran = lydite("plugins", "--json", "doctor")
    assert ran.code == 2
    assert "lydite plugins doctor ... --json" in ran.err


class TestInfo:
    @pytest.fixture(autouse=True)
    def example(self, distribution: Callable[..., Any]) -> None:
        distribution("lydite-example", GOOD)

    def test_an_offer_with_all_that_its_author_said(self, lydite: Callable[..., Any]) -> None:
        out = lydite("plugins", "info", "example/near").out
        for line in (
            "reward example/near (lydite-example 1.0)",
            "How near the answer is.",
            "Counted in units.",
            "  reference: the sample's gold answer",
            "  town: the data set's column 'town'",
            "  tolerance: float, default 0.5",
            "  unit: str, needed",
            "  mode: 'a' or 'b', default 'a'",
            "range: -1 to 1",
            "runs in a worker process, at most 2.5 s for a completion",
            'use = "example/near"',
        ):
            assert line in out.splitlines()

    def test_the_same_as_json(self, lydite: Callable[..., Any]) -> None:
        (one,) = json.loads(lydite("plugins", "info", "example/near", "--json").out)
        assert one["options"][1] == {"name": "unit", "type": "str", "required": True, "default": None}
        assert one["promises"]["range"] == [-1.0, 1.0]
        assert [arg["name"] for arg in one["takes"]] == ["answer", "reference", "town"]

    @pytest.mark.parametrize("name", ["lydite-example", "LYDITE.EXAMPLE", "lydite_example"])
    def test_a_distribution(self, lydite: Callable[..., Any], name: str) -> None:
        out = lydite("plugins", "info", name).out
        assert "lydite_example (lydite-example 1.0)" in out
        assert "For a test." in out
        assert "rewards: example/near" in out

    def test_an_unknown_name_gets_the_nearest(self, lydite: Callable[..., Any]) -> None:
        ran = lydite("plugins", "info", "example/naer")
        assert ran.code == 2
        assert ran.err.startswith("error: no plugin is called 'example/naer'")
        assert "did you mean 'example/near'?" in ran.err


class TestDoctor:
    def test_all_well(self, lydite: Callable[..., Any], distribution: Callable[..., Any]) -> None:
        distribution("lydite-example", GOOD)
        ran = lydite("plugins", "doctor")
        assert ran.code == 0
        assert ran.out.endswith("plugins load, none fails\n")

    @pytest.mark.parametrize(
        ("source", "cause", "remedy"),
        [
            ("import not_there_at_all", "No module named 'not_there_at_all'", "imports not_there_at_all, which is not"),
            (None, "No module named 'lydite_sick'", "pip install --force-reinstall lydite-sick"),
            ("1 / 0", "ZeroDivisionError: division by zero", "python -c 'import lydite_sick'"),
            (
                "import lydite\n@lydite.hookimpl\ndef lydite_rewrads(): return {}",
                "there is no hook 'lydite_rewrads'; did you mean 'lydite_rewards'?",
                "its author has to correct the hook",
            ),
            (
                "import lydite\n@lydite.hookimpl\ndef lydite_formats(): return {'plain': str}",
                "the format 'plain' is offered twice: by lydite",
                "a run can name one of the two",
            ),
            (
                "import lydite\n@lydite.hookimpl\ndef lydite_rewards(): raise OSError('full')",
                "OSError: full",
                "whole traceback",
            ),
        ],
    )
    def test_each_failure_has_its_distribution_cause_and_remedy(
        self, lydite: Callable[..., Any], distribution: Callable[..., Any], source: str | None, cause: str, remedy: str
    ) -> None:
        distribution("lydite-sick", source, version="3.1")
        ran = lydite("plugins", "doctor")
        assert ran.code == 1
        assert "lydite_sick of lydite-sick 3.1" in ran.out
        assert cause in ran.out
        assert remedy in ran.out
        assert "LYDITE_DISABLED_PLUGINS=lydite-sick" in ran.out
        assert ran.out.endswith("1 fails\n")
        (failure,) = json.loads(lydite("plugins", "doctor", "--json").out)["failures"]
        assert (failure["plugin"], failure["distribution"], failure["version"]) == ("lydite_sick", "lydite-sick", "3.1")

    def test_every_failure_is_listed(self, lydite: Callable[..., Any], distribution: Callable[..., Any]) -> None:
        distribution("lydite-sick", "1 / 0")
        distribution("lydite-ill", "import not_there_at_all")
        ran = lydite("plugins", "doctor")
        assert "lydite-sick" in ran.out
        assert "lydite-ill" in ran.out
        assert ran.out.endswith("2 fail\n")

    def test_what_the_environment_leaves_out_does_not_fail(
        self, lydite: Callable[..., Any], distribution: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        distribution("lydite-sick", "1 / 0")
        monkeypatch.setenv("LYDITE_DISABLED_PLUGINS", "lydite-sick")
        ran = lydite("plugins", "doctor")
        assert ran.code == 0
        assert "left out by LYDITE_DISABLED_PLUGINS: lydite-sick" in ran.out

    def test_a_file_is_its_owners_to_correct(self, lydite: Callable[..., Any], tmp_path: Path) -> None:
        file = tmp_path / "mine.py"
        file.write_text("def broken(")
        ran = lydite("plugins", "doctor", "--plugin", file)
        assert ran.code == 1
        assert "SyntaxError" in ran.out
        assert f"correct {file}" in ran.out


@pytest.mark.parametrize(
    "arguments", [["plugins"], ["plugins", "info", "plain"], ["plugins", "doctor"], ["train", "--help"]]
)
def test_no_torch_is_loaded(arguments: list[str]) -> None:
    """With every installed plugin, and without one module of the training stack."""
    program = (
        "import sys\nfrom lydite.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'numpy', 'plotly'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else code)"
    )
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
