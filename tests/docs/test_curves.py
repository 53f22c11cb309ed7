"""The curves of docs/law.md and docs/medicine.md are what the results say, and so are the figures beside them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from lydite.plugins import import_file

ROOT = Path(__file__).parents[2]
curves: Any = import_file(ROOT / "benchmarks" / "curves.py")
SVG = "{http://www.w3.org/2000/svg}"
PAGES = {"legal": "law.md", "medical": "medicine.md"}


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (curves.RESULTS / f"{name}-cpu.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("path", curves.products(), ids=lambda path: path.name)
def test_what_is_committed_is_what_the_results_say(path: Path) -> None:
    assert path.read_text() == curves.products()[path], "run: python benchmarks/curves.py"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_its_curve_and_its_figures(name: str) -> None:
    page = (ROOT / "docs" / PAGES[name]).read_text()
    assert f"(images/{name}-curve.svg)" in page
    _, heldout = curves.panels_of(lines_of(name))
    shown = set(re.findall(r"(\d+) %", page.partition("| held out")[2].partition("\n\n")[0]))
    for points in heldout.lines.values():
        assert {f"{100 * value:.0f}" for _, value in (points[0], points[-1])} <= shown


@pytest.mark.parametrize("name", PAGES)
def test_the_figures_of_the_stack_are_those_of_the_audits(name: str) -> None:
    page = (ROOT / "docs" / PAGES[name]).read_text()
    rows = re.findall(r"^\| `([\w-]+)/([\w-]+)`.*\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert rows
    for plugin, reward, n, right, wrong in rows:
        (file,) = ROOT.glob(f"rewards_contrib/{plugin}/lydite_{plugin}/calibration/{reward}.json")
        figures = json.loads(file.read_text())
        assert (int(n), right, wrong) == (figures["n"], f"{figures['tpr']:.2f}", f"{figures['fpr']:.2f}")


def test_the_last_run_counts_and_points_lie_where_their_values_are() -> None:
    lines = [
        {"metric": "reward, each step", "ours": [9.0]},
        {"metric": "reward, each step", "ours": [0.0, 1.0]},
        {"metric": "heldout a, each evaluation", "ours": [[0, 0.5], [2, 1.0]]},
        {"metric": "training", "ours": 3.0},
    ]
    reward, heldout = curves.panels_of(lines)
    assert reward.lines == {"reward": [(1.0, 0.0), (2.0, 1.0)]}
    assert heldout.lines == {"a": [(0.0, 0.5), (2.0, 1.0)]}
    drawn = ElementTree.fromstring(curves.drawing("t", [reward, heldout]))
    first, second = ([tuple(map(float, point.split(","))) for point in one.attrib["points"].split()]
                     for one in drawn.iter(f"{SVG}polyline"))  # fmt: skip
    assert first[0][0] == pytest.approx((second[0][0] + second[1][0]) / 2)
    assert first[0][1] - first[1][1] == pytest.approx(2 * (second[0][1] - second[1][1]))
    assert first[1][0] == second[1][0]


def test_a_run_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"answer": "Answer: yes", "reference": "yes"}, {"answer": "Answer: yes", "reference": "no"}]
    files = {
        "metrics.jsonl": [{"reward": 0.25}, {"reward": 0.5}],
        "evals.jsonl": [{"step": 0, "metric": "m", "value": 0.125, "answers": answers}],
        "summary.json": [{"steps": 2, "seconds": 3.0, "peak_memory_bytes": 4}],
        "manifest.json": [{"device": "d", "lydite": "1", "python": "3", "packages": {}}],
    }
    for name, content in files.items():
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in content))
    monkeypatch.setattr(curves, "RESULTS", tmp_path)
    curves.record(tmp_path, "legal", {"right holding": "lydite_legal.holding:holding"})
    panels = curves.panels_of(json.loads(line) for line in (tmp_path / "legal-cpu.jsonl").read_text().splitlines())
    assert panels[0].lines == {"reward": [(1.0, 0.25), (2.0, 0.5)]}
    assert panels[1].lines == {"m": [(0.0, 0.125)], "right holding": [(0.0, 0.5)]}
