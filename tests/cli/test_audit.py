"""`lydite audit` from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def same(answer: str, reference: str, *, fold: bool = False) -> lydite.Verdict | None:
    if answer == "?":
        return None
    if answer == "!":
        raise RuntimeError("no such luck")
    passed = answer.casefold() == reference.casefold() if fold else answer == reference
    return lydite.Verdict(float(passed), passed=passed, reason="equal" if passed else "different")

@lydite.reward(isolation="inline")
def anything(answer: str) -> float:
    return 1.0

class Marked:
    instructions = ""
    def parse(self, text):
        return lydite.Parsed(text.partition("A:")[2])

@lydite.hookimpl
def lydite_rewards():
    return {"own/same": same, "own/anything": anything}

@lydite.hookimpl
def lydite_formats():
    return {"marked": Marked}
"""
ROWS = [
    {"gold": "a", "pred": "a", "expected": True, "category": "plain"},
    {"gold": "a", "pred": "A", "expected": True, "category": "case"},
    {"gold": "a", "pred": "b", "expected": False, "category": "plain"},
    {"gold": "a", "pred": "?", "expected": False, "category": "plain"},
    {"gold": "a", "pred": "!", "expected": False, "category": "plain"},
]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "own.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def test_the_screen_and_the_file(lydite: Callable[..., Any], plugin: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "audit.json"
    ran = lydite("audit", "own/same", labelled, "--plugin", plugin, "--json", out, "--against", "own/anything")
    assert ran.code == 0, ran.err
    for line in (
        "own/same (file own.py",
        "5 rows: 2 that should pass, 3 that should not",
        "TPR, right answers accepted  0.500",
        "abstained on 1 rows (20.0%), which no rate above counts",
        "1 errors and 0 timeouts, counted as refused",
        "time of a verdict: p50 ",
        "equal",
        "1 refused, and should not be",
        "line 2: gold 'a', given 'A' (different)",
        "own/same against own/anything",
        "they differ on 4 rows",
    ):
        assert line in ran.out
    found = json.loads(out.read_text())
    wanted = ("n", "tpr", "fpr", "j", "abstain", "p50_ms", "p99_ms", "false_positives", "false_negatives")
    assert set(wanted) < set(found)
    assert (found["n"], found["tpr"], found["fpr"], found["j"], found["abstain"]) == (5, 0.5, 0.0, 0.5, 0.2)
    (negative,) = found["false_negatives"]
    assert (negative["gold"], negative["pred"], negative["reason"]) == ("a", "A", "different")
    assert found["against"]["differ"] == 4


def test_options_and_a_format(lydite: Callable[..., Any], plugin: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    ran = lydite("audit", "own/same", labelled, "--plugin", plugin, "--json", out, "--option", "fold=true")
    assert ran.code == 0, ran.err
    found = json.loads(out.read_text())
    assert (found["tpr"], found["options"]) == (1.0, {"fold": True})
    labelled.write_text('{"gold": "a", "pred": "so A:a", "expected": 1}\n{"gold": "a", "pred": "a", "expected": 0}\n')
    assert lydite("audit", "own/same", labelled, "--plugin", plugin, "--json", out, "--format", "marked").code == 0
    assert json.loads(out.read_text())["j"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["own/smae"], 2, "did you mean 'own/same'?"),
        (["own/same", "--option", "fold"], 2, "--option fold: expected key=value"),
        (["own/same", "--option", "fold=1", "--option", "fold=2"], 2, "'fold' is given twice"),
        (["own/same", "--option", "flod=true"], 2, "did you mean 'fold'?"),
        (["own/same", "--option", "fold=maybe"], 2, "must be bool"),
        (["own/same", "--format", "makred"], 2, "--format makred: "),
        (["own/same", "--timeout", "0"], 2, "--timeout is a positive number of seconds"),
        (["own/same", "--against-option", "a=1"], 2, "--against-option needs --against"),
        (["own/same", "--against", "own/nothing"], 2, "no plugin offers the reward 'own/nothing'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    arguments: list[str], code: int, said: str, lydite: Callable[..., Any], plugin: Path, labelled: Path, tmp_path: Path
) -> None:
    name, *rest = arguments
    ran = lydite("audit", name, labelled, *rest, "--plugin", plugin, "--json", tmp_path / "audit.json")
    assert ran.code == code
    assert said in ran.err
    assert not (tmp_path / "audit.json").exists()


def test_a_broken_line_is_named(lydite: Callable[..., Any], plugin: Path, labelled: Path) -> None:
    labelled.write_text(labelled.read_text() + '{"gold": "a", "pred": "a"\n')
    ran = lydite("audit", "own/same", labelled, "--plugin", plugin)
    assert ran.code == 1
    assert f"error: {labelled}:6: expected a JSON object such as" in ran.err
    assert ran.out == ""


def test_a_plugin_that_fails_elsewhere_stops_no_audit_but_is_named_where_it_may_matter(
    lydite: Callable[..., Any], distribution: Callable[..., Any], plugin: Path, labelled: Path
) -> None:
    distribution("lydite-sick", "1 / 0")
    assert lydite("audit", "own/same", labelled, "--plugin", plugin).code == 0
    ran = lydite("audit", "sick/reward", labelled, "--plugin", plugin)
    assert ran.code == 2
    assert "lydite-sick fails to load; see lydite plugins doctor" in ran.err


def test_it_loads_no_torch(plugin: Path, labelled: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from lydite.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert 'torch' not in sys.modules"
    )
    arguments = ["audit", "own/same", str(labelled), "--plugin", str(plugin)]
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
