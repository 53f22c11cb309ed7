"""The audit that a plugin carries, as a line."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.calibration import calibration_line, calibration_lines, calibration_of
from lydite.config import RunConfig
from lydite.plugins import KINDS, Offer, Owner, load_plugins

AUDIT = {
    "name": "own/near", "version": "1.0", "n": 240, "tpr": 0.934, "fpr": 0.0, "j": 0.934,
    "abstain": 0.0, "p50_ms": 0.4321, "options": {},
}  # fmt: skip


def near(answer: str, reference: str) -> float:
    return 0.0


@lydite.reward(pays_for="form")
def shape(answer: str, reference: str) -> float:
    return 0.0


def ungrounded(answer: str) -> float:
    return 0.0


@pytest.fixture
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package `carries_audits` with this text as the audit of own/near."""
    package = tmp_path / "carries_audits"
    (package / "calibration").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "carries_audits", raising=False)

    def write(text: str) -> None:
        (package / "calibration" / "near.json").write_text(text)

    return write


def offer(
    thing: Any = near, version: str = "1.0", location: str = "carries_audits", source: Any = "entry_point"
) -> Offer:
    return Offer("rewards", "own/near", thing, Owner("own", "lydite-own", version, source, location))


def test_a_line_of_figures(carried: Callable[..., None]) -> None:
    carried(json.dumps(AUDIT))
    line = calibration_line(offer(location="carries_audits.hooks:plugin"))
    assert line == "own/near 1.0: TPR 0.93 FPR 0.00 J 0.93 on 240 labelled rows, p50 0.43 ms"


def test_doubts(carried: Callable[..., None]) -> None:
    carried(json.dumps({**AUDIT, "abstain": 0.12, "fpr": None, "j": None, "options": {"fold": True}}))
    assert calibration_line(offer(version="1.1")) == (
        "own/near 1.1: TPR 0.93 on 240 labelled rows, abstains on 12%, p50 0.43 ms "
        "(measured with version 1.0, measured with fold = True)"
    )
    assert "measured with" not in str(calibration_line(offer(), {"fold": True}))
    carried(json.dumps(AUDIT))
    assert str(calibration_line(offer(), {"fold": True})).endswith("(measured with its default options)")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", json.dumps({**AUDIT, "name": "other/near"}), json.dumps({**AUDIT, "n": None}), '{"name": "own/near"}'],
)
def test_a_file_that_is_none_is_said_and_stops_nothing(text: str, carried: Callable[..., None]) -> None:
    carried(text)
    assert str(calibration_line(offer())).startswith("own/near 1.0: its calibration cannot be read: ")


def test_no_audit_is_worth_a_line_only_where_there_could_be_one() -> None:
    assert calibration_line(offer(location="json")) == "own/near 1.0: not calibrated"
    assert calibration_line(offer(shape, location="json")) is None
    assert calibration_line(offer(ungrounded, location="json")) is None


def test_the_rewards_of_a_run(carried: Callable[..., None]) -> None:
    carried(json.dumps(AUDIT))
    offers = {kind: {} for kind in KINDS} | {
        "rewards": {"own/near": offer(), "own/shape": Offer("rewards", "own/shape", shape, offer().owner)},
        "group_rewards": {"f": Offer("group_rewards", "f", near, Owner("f", "a function", "", "function", ""))},
    }
    plugins = replace(load_plugins(allow=()), offers=offers)
    config = RunConfig.model_validate(
        {
            "model": {"path": "none"},
            "data": {"use": "none"},
            "rewards": {"a": {"use": "own/near"}, "b": {"use": "own/near", "weight": 0.1}, "c": {"use": "own/shape"}},
            "eval": {"reward": {"use": "f"}},
        }
    )
    known, unknown = calibration_lines(config, plugins)
    assert known.startswith("own/near 1.0: TPR 0.93")
    assert unknown == "f (a function): not calibrated"
    assert calibration_lines(config, plugins, uncalibrated=False) == (known,)


@pytest.mark.parametrize(("location", "source"), [("json", "entry_point"), ("not_there", "entry_point"), ("x", "file")])
def test_plugins_without_a_folder_of_their_own_carry_none(location: str, source: Any) -> None:
    assert calibration_of(offer(location=location, source=source)) is None
