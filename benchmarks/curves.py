"""The curves of docs/law.md and docs/medicine.md, drawn from the results of real runs and nothing else.

    python benchmarks/curves.py                      draws them
    python benchmarks/curves.py --check              exits with 1 when one is not what the results say
    python benchmarks/curves.py record RUN NAME ...  appends a run's curves to benchmarks/results/NAME-cpu.jsonl;
                                                     `holding=lydite_legal.holding:holding` behind it judges the
                                                     held-out answers by that function as well

`tests/docs/test_curves.py` checks that what is committed is current.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
IMAGES: Final = ROOT / "docs" / "images"
EXAMPLES: Final = ("legal", "medical")
REWARD: Final = "reward, each step"
HELDOUT: Final = "heldout "
EACH: Final = ", each evaluation"
# Colours that are told apart by the colour-blind as well: those of Okabe and Ito.
_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_WIDTH, _LEFT, _RIGHT, _PANEL, _HEAD, _GAP = 760, 56, 16, 150, 34, 58  # pixels

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: its heading, and its lines by name."""

    title: str
    lines: Mapping[str, Points]


def panels_of(lines: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """The reward of each step, and every held-out metric; of a figure that comes twice the last one."""
    reward: Points = []
    heldout: dict[str, Points] = {}
    for line in lines:
        metric = str(line["metric"])
        if metric == REWARD:
            reward = [(float(step), float(value)) for step, value in enumerate(line["ours"], 1)]
        elif metric.startswith(HELDOUT) and metric.endswith(EACH):
            name = metric.removeprefix(HELDOUT).removesuffix(EACH)
            heldout[name] = [(float(step), float(value)) for step, value in line["ours"]]
    return [Panel("reward in training", {"reward": reward}), Panel("held out, share of answers", heldout)]


def drawing(title: str, panels: Sequence[Panel]) -> str:
    """An SVG with the panels one above the other, over the same steps."""
    last = max((step for panel in panels for points in panel.lines.values() for step, _ in points), default=1.0)
    height = _HEAD + len(panels) * (_PANEL + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(10, 22, title, size=15),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, _HEAD + 24 + number * (_PANEL + _GAP), last)
    return "\n".join([*parts, "</svg>"]) + "\n"


def products() -> dict[Path, str]:
    """What each picture has to be, by its path."""
    found = {}
    for name in EXAMPLES:
        lines = [json.loads(line) for line in (RESULTS / f"{name}-cpu.jsonl").read_text().splitlines()]
        case = [line["case"] for line in lines if line["metric"] == REWARD][-1]
        found[IMAGES / f"{name}-curve.svg"] = drawing(str(case), panels_of(lines))
    return found


def record(run: Path, name: str, judges: Mapping[str, str]) -> None:
    """Appends the curves of a finished run to the results of an example."""
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evals = [json.loads(line) for line in (run / "evals.jsonl").read_text().splitlines()]
    summary, manifest = (json.loads((run / file).read_text()) for file in ("summary.json", "manifest.json"))
    head = {
        "case": f"{name} cases, {summary['steps']} steps, SmolLM2-135M, LoRA on bf16, hf engine, two CPU cores",
        "device": manifest["device"],
        "versions": {"lydite": manifest["lydite"], "python": manifest["python"], **manifest["packages"]},
        **dict.fromkeys(("peer", "peer_name", "ratio", "spread")),
        "command": f"lydite train examples/{name}.toml",
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip(),
    }
    asked = [f"{len(evals[0]['answers'])}", "share"]
    curves = {f"{HELDOUT}{evals[0]['metric']}{EACH}": [[one["step"], round(one["value"], 4)] for one in evals]}
    for title, path in judges.items():
        curves[f"{HELDOUT}{title}{EACH}"] = [[one["step"], round(_judged(path, one["answers"]), 4)] for one in evals]
    found = [(REWARD, "list", [round(one["reward"], 4) for one in metrics])]
    found += [(metric, f"list of [step, {asked[1]} of {asked[0]}]", points) for metric, points in curves.items()]
    found += [("training", "s", summary["seconds"]), ("peak memory", "bytes", summary["peak_memory_bytes"])]
    with (RESULTS / f"{name}-cpu.jsonl").open("a") as file:
        for metric, unit, value in found:
            file.write(json.dumps({**head, "metric": metric, "unit": unit, "ours": value}) + "\n")


def _judged(path: str, answers: Sequence[Mapping[str, Any]]) -> float:
    """The share of the answers that a reward function of answer and reference passes."""
    module, _, name = path.partition(":")
    function = getattr(importlib.import_module(module), name)
    return sum(bool(function(one["answer"], one["reference"]).passed) for one in answers) / len(answers)


def _panel(panel: Panel, top: float, last: float) -> list[str]:
    values = [value for points in panel.lines.values() for _, value in points]
    low, high = min(0.0, *values), max(1.0, *values)

    def at(step: float, value: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last
        return round(across, 1), round(top + _PANEL * (high - value) / (high - low), 1)

    parts = [_text(_LEFT, top - 10, panel.title)]
    for tick in (0.0, 0.5, 1.0):
        x, y = at(0, tick)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="#dddddd"/>')
        parts.append(_text(x - 30, y + 4, f"{tick:.1f}"))
    for step in range(0, int(last) + 1, 2):
        x, _ = at(step, 0)
        parts.append(_text(x - 4, top + _PANEL + 16, str(step)))
    side = 190.0
    for (name, points), colour in zip(panel.lines.items(), _COLOURS, strict=False):
        way = " ".join(f"{x},{y}" for x, y in (at(*point) for point in points))
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in (at(*point) for point in points)]
        if len(panel.lines) > 1:
            x = _LEFT + side
            parts.append(f'<rect x="{x}" y="{top - 20}" width="10" height="10" fill="{colour}"/>')
            parts.append(_text(x + 15, top - 10, name))
            side += 40 + 7 * len(name)
    return parts


def _text(x: float, y: float, words: str, *, size: int = 12) -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="#222222">{escape(words)}</text>'


def main(arguments: Sequence[str]) -> int:
    """Draws, checks or records; the exit code."""
    if arguments[:1] == ["record"]:
        run, name, *judges = arguments[1:]
        record(Path(run), name, dict(one.split("=", 1) for one in judges))
        return 0
    made = products()
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is not what the results say; run: python benchmarks/curves.py")
        else:
            path.write_text(made[path])
            print(path.relative_to(ROOT))
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
