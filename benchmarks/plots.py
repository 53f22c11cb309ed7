"""The pictures and the table of docs/speed.md, drawn from the results of `benchmarks.step` and nothing else.

    python benchmarks/plots.py            writes them
    python benchmarks/plots.py --check    exits with 1 when one is not what the results say

Plain SVG, the same bytes from the same results. `tests/docs/test_plots.py` checks that what is committed is current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = tuple(sorted((ROOT / "benchmarks" / "results").glob("step-h*.jsonl")))
IMAGES: Final = ROOT / "docs" / "images"
PAGE: Final = ROOT / "docs" / "speed.md"
BEGIN: Final = "<!-- Written by benchmarks/plots.py from the results. -->"
END: Final = "<!-- Until here. -->"

Figures = dict[str, dict[str, dict[str, float]]]
"""By case, arm and metric; cases in the order of the file."""
ARMS: Final = ("lydite", "lydite-fast", "lydite-card", "lydite-small", "lydite-plain")
"""Ours, in the order in which they are shown; every other comes after them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of each bar: the sum of some metrics less others, and never below 0."""

    name: str
    colour: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()


# Colours that are told apart by the colour-blind as well: those of Okabe and Ito.
TIME: Final = (
    Part("generation", "#0072B2", ("generation",), ("handed over inside",)),
    Part("hand-over of weights", "#009E73", ("hand-over of weights",)),
    Part("training", "#E69F00", ("training",)),
    Part("rest", "#999999", ("step",), ("generation", "handed over outside", "training")),
)
_PEAK: Final = "peak memory after the warm-up, "
MEMORY: Final = (
    Part("tensors of torch", "#E69F00", (f"{_PEAK}torch allocated",)),
    Part(
        "beyond: vLLM's pool, CUDA, what torch holds unused", "#0072B2",
        (f"{_PEAK}device beyond idle",), (f"{_PEAK}torch allocated",),
    ),
)  # fmt: skip
_WIDTH, _LEFT, _BAR, _ROW, _HEAD = 760, 120, 16, 24, 34  # pixels


def figures_of(lines: Iterable[Mapping[str, Any]]) -> Figures:
    """What was measured, ours and peers'; a figure that comes twice counts as it was last."""
    found: Figures = {}
    for line in lines:
        if "metric" not in line or not str(line["case"]).startswith("step"):
            continue
        device = str(line.get("device") or "NVIDIA H100").split()[1]
        case = f"{device}: {str(line['case']).split('; ')[0]}"
        for arm, value in ((line["arm"], line["ours"]), (line["peer_name"], line["peer"])):
            if value is not None and arm is not None:
                found.setdefault(case, {}).setdefault(str(arm), {})[str(line["metric"])] = float(value)
    for arms in found.values():
        for arm, metrics in arms.items():
            # TRL's generation has the hand-over in it, and lydite's is beside it.
            inside = "handed over outside" if arm.startswith("lydite") else "handed over inside"
            metrics[inside] = metrics.get("hand-over of weights", 0.0)
    return found


def chart(title: str, unit: str, figures: Figures, parts: Sequence[Part]) -> str:
    """An SVG with a bar for each arm of each case, put together from its parts; arms without the figures left out."""
    rows: list[tuple[str, list[tuple[str, list[float]]]]] = []
    for case, arms in figures.items():
        bars = [(arm, pieces) for arm in in_order(arms) if (pieces := _pieces(arms[arm], parts)) is not None]
        if bars:
            rows.append((case, bars))
    most = max((sum(pieces) for _, bars in rows for _, pieces in bars), default=1.0)
    scale = (_WIDTH - _LEFT - 80) / most
    drawn, y = [_text(10, 22, title, size=15, bold=True)], 44
    x = 10
    for part in parts:
        drawn += [_rectangle(x, y - 9, 10, 10, part.colour), _text(x + 14, y, part.name)]
        x += 26 + 7 * len(part.name)
    y += 10
    for case, bars in rows:
        y += _HEAD
        drawn.append(_text(10, y - 8, case, bold=True))
        for arm, pieces in bars:
            drawn.append(_text(_LEFT - 8, y + 12, arm, anchor="end"))
            left = float(_LEFT)
            for part, size in zip(parts, pieces, strict=True):
                drawn.append(_rectangle(left, y, size * scale, _BAR, part.colour))
                left += size * scale
            drawn.append(_text(left + 6, y + 12, f"{sum(pieces):.3g} {unit}"))
            y += _ROW
    height = y + 10
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        _rectangle(0, 0, _WIDTH, height, "#FFFFFF"),
        *drawn,
        "</svg>\n",
    ])  # fmt: skip


def table(figures: Figures) -> str:
    """The same numbers and the speed of training, as a table of Markdown."""
    columns = {
        "step, s": "step",
        "generation": "generation",
        "hand-over": "hand-over of weights",
        "training": "training",
        "real tokens/s in training": "training, real tokens per second",
        "share of 780 TFLOP/s": "training, share of 780 TFLOP/s",
        "GiB": f"{_PEAK}device beyond idle",
    }
    lines = []
    for case, arms in figures.items():
        if not any("step" in metrics for metrics in arms.values()):
            continue
        lines += [f"**{case}**", ""]
        lines += ["| arm | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
        for arm in in_order(arms):
            cells = [_number(arms[arm].get(metric)) for metric in columns.values()]
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms as they are shown: ours first."""
    return sorted(arms, key=lambda arm: (ARMS.index(arm) if arm in ARMS else len(ARMS), arm))


def page_with(text: str, figures: Figures) -> str:
    """The page with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(figures)}\n\n{END}{after}"


def results() -> str:
    """The lines of every GPU's results of steps."""
    return "".join(path.read_text() for path in RESULTS)


def products(results: str, page: str) -> dict[Path, str]:
    """Every file that is made, and its content."""
    figures = figures_of(json.loads(line) for line in results.splitlines())
    return {
        IMAGES / "step-time.svg": chart("Where a step's time goes", "s", figures, TIME),
        IMAGES / "step-memory.svg": chart("Where a step's memory goes, at its peak", "GiB", figures, MEMORY),
        PAGE: page_with(page, figures),
    }


def main(arguments: Sequence[str]) -> int:
    """Writes or checks; the exit code."""
    stale = {
        path: text
        for path, text in products(results(), PAGE.read_text()).items()
        if not path.is_file() or path.read_text() != text
    }
    for path, text in stale.items():
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.write_text(text)
    return int(bool(stale)) if "--check" in arguments else 0


def _pieces(metrics: Mapping[str, float], parts: Sequence[Part]) -> list[float] | None:
    """The sizes of a bar's parts; None for an arm that lacks the first figure of one that matters."""
    if any(part.plus[0] not in metrics for part in parts if part.name != "hand-over of weights"):
        return None
    return [
        max(0.0, sum(metrics.get(one, 0.0) for one in part.plus) - sum(metrics.get(one, 0.0) for one in part.minus))
        for part in parts
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{_at(x)}" y="{_at(y)}" width="{_at(width)}" height="{_at(height)}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, size: int = 12, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{_at(x)}" y="{_at(y)}" font-family="sans-serif" font-size="{size}"{weight} '
        f'text-anchor="{anchor}" fill="#222222">{escape(text)}</text>'
    )


def _at(number: float) -> str:
    return re.sub(r"\.?0+$", "", f"{number:.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
