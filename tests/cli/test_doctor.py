"""`lydite doctor`, and the requirements that it reads."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lydite.cli import doctor as doctor_module
from lydite.cli.requirements import Requirement, incomplete_extras, requirements, within
from lydite.kernels.switch import KERNELS


def test_a_whole_installation_is_described_and_ends_well(lydite: Callable[..., Any]) -> None:
    ran = lydite("doctor")
    assert ran.code == 0, ran.out
    assert "transformers" in ran.out
    assert "threads" in ran.out or "CUDA" in ran.out
    assert all(name in ran.out for name in KERNELS)
    assert ran.out.rstrip().endswith("nothing is broken")


def test_json_has_the_same_for_programs(lydite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "rope")
    found = json.loads(lydite("doctor", "--json").out)
    assert [one["name"] for one in found["packages"]] == list(doctor_module.PACKAGES)
    torch = found["packages"][0]
    assert (torch["asked"], torch["fits"]) == (">=2.9", True)
    assert found["device"]["memory_bytes"] >= found["device"]["free_bytes"] > 2**20
    kernels = {one["name"]: one for one in found["kernels"]}
    assert kernels["rope"] == {"name": "rope", "on": False, "why": "LYDITE_KERNELS turns it off"}
    assert kernels["layers"]["on"]
    assert "LYDITE_KERNELS" not in kernels["glu"]["why"]
    assert found["problems"] == []


def test_a_plugin_that_fails_ends_it_with_1_and_points_at_the_other_doctor(
    lydite: Callable[..., Any], distribution: Callable[..., Any]
) -> None:
    distribution("lydite-broken", "1 / 0")
    ran = lydite("doctor")
    assert ran.code == 1
    assert "problem: 1 of the plugins fails to load (lydite-broken); lydite plugins doctor says why" in ran.out
    assert "nothing is broken" not in ran.out


def test_a_package_out_of_its_range_is_a_problem(lydite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor_module.installed_version
    monkeypatch.setattr(doctor_module, "installed_version", lambda name: "0.9" if name == "peft" else real(name))
    ran = lydite("doctor")
    assert ran.code == 1
    assert "peft 0.9 is installed, and lydite asks for >=0.18; pip install 'peft>=0.18'" in ran.out


def test_a_kernel_that_does_not_exist_is_a_problem(lydite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "ropes")
    ran = lydite("doctor")
    assert ran.code == 1
    assert "there is no kernel 'ropes'" in ran.out


def test_what_is_missing_is_told_with_what_installs_it_and_is_no_problem(
    lydite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [Requirement("no-such-package", ">=1", "report"), Requirement("vllm-of-no-kind", "", "vllm")]
    monkeypatch.setattr(doctor_module, "own_requirements", lambda: asked)
    ran = lydite("doctor")
    assert ran.code == 0
    assert "pip install 'lydite[report]'" in ran.out
    monkeypatch.setattr(doctor_module, "installed_version", lambda _: None)  # no torch: a writer of verifiers
    found = json.loads(lydite("doctor", "--json").out)
    assert (found["device"], found["kernels"], found["problems"]) == (None, [], [])


def test_requirements_are_read_from_lines_of_metadata() -> None:
    lines = [
        "regex>=2025.1",
        "vllm<0.33,>=0.25; extra == 'vllm'",
        'lydite[train] ; extra == "demo"',
        "Torch_Thing (>=2)",
        "tomli>=2; python_version < '3.11'",
    ]
    assert requirements(lines) == [
        Requirement("regex", ">=2025.1", ""),
        Requirement("vllm", "<0.33,>=0.25", "vllm"),
        Requirement("lydite", "", "demo"),
        Requirement("torch_thing", ">=2", ""),
    ]


@pytest.mark.parametrize(
    ("version", "ranges", "fits"),
    [
        ("2.11.0+cu130", ">=2.9", True),
        ("2.9", ">=2.9.0", True),
        ("2.8.9", ">=2.9", False),
        ("0.33.0", "<0.33,>=0.25", False),
        ("0.32.1", "<0.33,>=0.25", True),
        ("0.1.2", "==0.1.2", True),
        ("0.1.3", "==0.1.2", False),
        ("5.0.0rc1", ">=5.0", True),
        ("3.1", "", True),
    ],
)
def test_versions_and_ranges(version: str, ranges: str, fits: bool) -> None:
    assert within(version, ranges) is fits


def test_extras_that_are_not_whole_name_what_they_lack() -> None:
    asked = [
        Requirement("pluggy", "", ""),
        Requirement("torch", ">=2.9", "train"),
        Requirement("peft", "", "train"),
        Requirement("plotly", "", "report"),
    ]
    here = {"plotly": "6.0", "peft": "0.18"}
    assert incomplete_extras(asked, here.get) == {"train": ["torch"]}
