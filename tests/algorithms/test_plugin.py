"""The documented algorithm of a plugin, trained with: one file, found by name, its options checked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.api import check
from lydite.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"


@pytest.fixture
def plugin(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A configuration that names the algorithm of the documentation."""
    found = re.search(r"```python best_of_n.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "best_of_n.py").write_text(found[1])
    return {**settings, "plugin_files": [str(tmp_path / "best_of_n.py")], "algorithm": "best_of_n"}


@lydite.reward(isolation="inline")
def vowels(completion: Any) -> float:
    return sum(letter in "aeiou" for letter in completion.text) / max(1, len(completion.text))


def test_it_learns_from_what_it_says_it_learns_from(plugin: dict[str, Any]) -> None:
    policy = lydite.load_policy(plugin)
    before = policy.adapter_hash()
    config = {**plugin, "algorithm_options": {"at_least": 0.05}}
    result = lydite.train(config, rewards={"paid": vowels}, policy=policy, display="none")
    records = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    completions = [json.loads(line) for line in (result.folder / "completions.jsonl").read_text().splitlines()]
    for one in records:
        groups: dict[str, float] = {}
        for made in completions:
            if made["step"] == one["step"]:
                groups[made["sample"]] = max(made["reward"], groups.get(made["sample"], 0.0))
        assert one["best_of_n/trained"] == sum(best >= 0.05 for best in groups.values())
    assert sum(one["best_of_n/trained"] for one in records) > 0
    assert policy.adapter_hash() != before


def test_its_options_are_checked_before_a_model_is_loaded(plugin: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"algorithm 'best_of_n' has no option 'atleast'.*'at_least'"):
        check({**plugin, "algorithm_options": {"atleast": 1.0}}, rewards={"paid": vowels})
    with pytest.raises(ConfigError, match=r"option 'at_least' of algorithm 'best_of_n' must be float"):
        check({**plugin, "algorithm_options": {"at_least": "much"}}, rewards={"paid": vowels})


def test_what_is_no_algorithm_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import lydite\n\n@lydite.hookimpl\ndef lydite_algorithms():\n    return {'odd': lambda policy, config: 3}\n"
    )
    config = {**settings, "plugin_files": [str(tmp_path / "odd.py")], "algorithm": "odd"}
    with pytest.raises(ConfigError, match=r"algorithm 'odd' of .*odd.* gives a int, which has no parameters"):
        lydite.train(config, rewards={"paid": vowels}, display="none")


def test_the_page_of_a_plugin_loads_no_torch(plugin: dict[str, Any]) -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, best_of_n; print('torch' in sys.modules)"],
        cwd=Path(plugin["plugin_files"][0]).parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "False"
