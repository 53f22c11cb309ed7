"""The pictures and the table of docs/speed.md are what the results say."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from lydite.plugins import import_file

plots: Any = import_file(Path(__file__).parents[2] / "benchmarks" / "plots.py")
SVG = "{http://www.w3.org/2000/svg}"
PEAK = "peak memory after the warm-up, "


def line(arm: str, metric: str, value: float, *, peer: float | None = None, case: str = "step S") -> dict[str, Any]:
    ours = arm != "trl"
    return {
        "case": f"{case}; {arm}" if ours else case,
        "arm": arm,
        "device": "NVIDIA H200",
        "metric": metric,
        "ours": value if ours else None,
        "peer": peer if ours else value,
        "peer_name": "trl" if not ours or peer is not None else None,
    }


LINES = [
    line("lydite-fast", "step", 4.0, peer=10.0),
    line("lydite-fast", "generation", 2.0, peer=5.0),
    line("lydite-fast", "training", 1.0, peer=4.5),
    line("lydite-fast", "hand-over of weights", 0.5, peer=2.0),
    line("trl", f"{PEAK}torch allocated", 3.0),
    line("lydite-small", "training", 9.0),
    {"case": "step S", "arm": "lydite", "failed": "was ended"},
    line("lydite", "tokens", 1.0, case="rollout S"),
]


def bars(svg: str) -> dict[str, list[float]]:
    """Widths of the rectangles behind the legend and the background, by colour."""
    found: dict[str, list[float]] = {}
    for one in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        if one.attrib["height"] == "16":
            found.setdefault(one.attrib["fill"], []).append(float(one.attrib["width"]))
    return found


@pytest.mark.parametrize("path", plots.products(plots.results(), plots.PAGE.read_text()))
def test_what_is_committed_is_what_the_results_say(path: Path) -> None:
    made = plots.products(plots.results(), plots.PAGE.read_text())
    assert path.read_text() == made[path], "run: python benchmarks/plots.py"


def test_ours_and_the_peer_beside_it_are_read_from_one_line() -> None:
    figures = plots.figures_of(LINES)
    assert list(figures) == ["H200: step S"]
    assert figures["H200: step S"]["trl"]["generation"] == 5.0
    assert figures["H200: step S"]["lydite-fast"]["step"] == 4.0
    assert "lydite" not in figures["H200: step S"]


def test_a_bar_is_as_long_as_its_figures_and_whole_steps_add_up() -> None:
    found = bars(plots.chart("time", "s", plots.figures_of(LINES), plots.TIME))
    generation, handover, training, rest = (found[part.colour] for part in plots.TIME)
    assert len(generation) == 2, "lydite-small has no whole step"
    second = (generation[0] + handover[0] + training[0] + rest[0]) / 4.0  # pixels
    assert second > 0
    assert [generation[0], handover[0], training[0], rest[0]] == pytest.approx(
        [2 * second, 0.5 * second, second, 0.5 * second], abs=0.02
    )
    # TRL's hand-over is part of its generation: 5 s are 3 and 2.
    assert [generation[1], handover[1], training[1], rest[1]] == pytest.approx(
        [3 * second, 2 * second, 4.5 * second, 0.5 * second], abs=0.02
    )


def test_the_table_has_every_arm_ours_first() -> None:
    lines = plots.table(plots.figures_of(LINES)).splitlines()
    assert lines[0] == "**H200: step S**"
    arms = [one.split(" | ")[0].removeprefix("| ") for one in lines[4:]]
    assert arms == ["lydite-fast", "lydite-small", "trl"]
    assert lines[4].startswith("| lydite-fast | 4 | 2 | 0.5 | 1 |")


def test_text_around_the_table_stays() -> None:
    page = f"before\n{plots.BEGIN}\nold\n{plots.END}\nafter\n"
    made = plots.page_with(page, plots.figures_of(LINES))
    assert made.startswith("before\n")
    assert made.endswith(f"{plots.END}\nafter\n")
    assert "old" not in made
    assert plots.page_with(made, plots.figures_of(LINES)) == made
