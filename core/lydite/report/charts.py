"""The curves of a run as plotly figures in plain JSON terms, without plotly.

One definition serves the page, which draws them with plotly.js, and notebooks, which hand them to
plotly.py. Colours are names (`@1`, `@1-soft`, `@muted`, ...) that whoever draws replaces by a theme's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from lydite.report.asking import asking_charts
from lydite.report.chart import SHARE, Chart, chart_of
from lydite.report.curves import Curves, curve, thinned
from lydite.report.parting import parted_evaluations
from lydite.report.reader import Record, RunData
from lydite.report.wording import is_share

_TIME_PARTS: Final = ("generate", "score", "probe", "train", "eval", "checkpoint", "sentinels")


def charts_of(run: RunData) -> tuple[Chart, ...]:
    """Every chart that the run's files have figures for, in the order in which they are read."""
    metrics, timings = Curves(thinned(run.metrics)), Curves(thinned(run.timings))
    made = [
        _reward(metrics),
        _heldout(run),
        _together(run, metrics),
        *_single_rewards(metrics),
        _shares(metrics, "share", "Share of what is paid", "Of all that is paid and charged in a step, by size"),
        _shares(
            metrics,
            "spread_share",
            "Share of what tells completions apart",
            "Of the variance within groups, which advantages are made of; below 0: it pulls against the others",
        ),
        _lengths(metrics),
        _broken(metrics),
        _groups(metrics),
        *asking_charts(metrics),
        *_learning(metrics),
        *_machine(timings),
    ]
    return tuple(chart for chart in made if chart is not None)


def reward_names(metrics: Sequence[Record]) -> list[str]:
    """The names of the single rewards, in the order of the metrics file."""
    names: dict[str, None] = {}
    for record in metrics:
        for key in record:
            if key.startswith("rewards/") and key.endswith("/mean"):
                names.setdefault(key.removeprefix("rewards/").removesuffix("/mean"))
    return list(names)


def _reward(metrics: Curves) -> Chart | None:
    if not metrics.has("reward"):
        return None
    data = [*metrics.deviation("reward", "reward_std", "@1"), metrics.line("reward", "mean reward", "@1")]
    return chart_of(
        "reward", "overview", "Reward", "Mean total over a step's completions, while sampling", data, metrics, "reward"
    )


def _heldout(run: RunData) -> Chart | None:
    if not run.evals:
        return None
    name = str(run.evals[-1].get("metric", "held-out"))
    curves = Curves(run.evals)
    share = is_share(curves.column("value"))
    line = {**curves.line("value", name, "@2"), "mode": "lines+markers", "marker": {"size": 7, "color": "@2"}}
    n = run.evals[-1].get("n")
    hint = f"Greedy answers to {n} questions that are never trained on" if n else "Questions that are never trained on"
    # From 0 on, so that a small change does not look like a large one; upwards no further than the data.
    axis = {"tickformat": ".0%", "rangemode": "tozero"} if share else {}
    return chart_of("heldout", "overview", f"Held-out {name}", hint, [line], curves, "value", yaxis=axis)


def _together(run: RunData, metrics: Curves) -> Chart | None:
    """Both on one chart: a model that has found a hole in the rewards shows as two curves that part."""
    if len(run.evals) < 2 or not metrics.has("reward"):
        return None
    curves, name = Curves(run.evals), str(run.evals[-1].get("metric", "held-out"))
    heldout = {**curves.line("value", name, "@2"), "mode": "lines+markers", "yaxis": "y2"}
    data = [metrics.line("reward", "training reward", "@1"), heldout]
    hint = "The reward that is trained on (left), and the metric that is not (right)"
    parted = parted_evaluations(run)
    if parted:
        data.append(_crosses([one["step"] for one in parted], [float(one["value"]) for one in parted]))
        hint += "; crosses where reward went up and held-out down"
    chart = chart_of("together", "overview", f"Reward and held-out {name}", hint, data, metrics, "reward")
    axis: dict[str, Any] = {"overlaying": "y", "side": "right", "showgrid": False}
    if is_share(curves.column("value")):
        # From 0 to just above the best, also where all values are the same: plotly would show shares below 0.
        top = max((float(one["value"]) for one in run.evals), default=0.0)
        axis |= {"tickformat": ".0%", "range": [0.0, min(top * 1.08, 1.0) or 1.0]}
    return replace(chart, layout={**chart.layout, "yaxis2": axis})


def _crosses(x: list[int], y: list[float]) -> dict[str, Any]:
    marker = {"symbol": "x", "size": 11, "color": "@4"}
    return {"type": "scatter", "mode": "markers", "name": "parted", "x": x, "y": y, "marker": marker, "yaxis": "y2"}


def _shares(metrics: Curves, figure: str, title: str, hint: str) -> Chart | None:
    """Each reward's share, where there is more than one reward to share with."""
    names = [one for one in reward_names(metrics.records) if metrics.has(f"rewards/{one}/{figure}")]
    if len(names) < 2:
        return None
    data = [metrics.line(f"rewards/{name}/{figure}", name, f"@{place % 6 + 1}") for place, name in enumerate(names)]
    axis = {"tickformat": ".0%"}
    return chart_of(figure, "rewards", title, hint, data, metrics, f"rewards/{names[0]}/{figure}", yaxis=axis)


def _single_rewards(metrics: Curves) -> list[Chart]:
    charts = []
    hint = "Mean raw score ± one standard deviation"
    for place, name in enumerate(reward_names(metrics.records)):
        key, color = f"rewards/{name}/mean", f"@{place % 6 + 1}"
        if metrics.has(key):
            data = [*metrics.deviation(key, f"rewards/{name}/std", color), metrics.line(key, name, color)]
            charts.append(chart_of(f"reward-{place}", "rewards", name, hint, data, metrics, key, legend=False))
    return charts


def _groups(metrics: Curves) -> Chart | None:
    key = "frac_reward_zero_std"
    if not metrics.has(key):
        return None
    line = metrics.line(key, "share of groups", "@4")
    hint = "Prompts whose completions all earned the same"
    return chart_of("zero-std", "completions", "Groups without a difference", hint, [line], metrics, key, yaxis=SHARE)


def _lengths(metrics: Curves) -> Chart | None:
    key = "completions/mean_length"
    if not metrics.has(key):
        return None
    low, high = metrics.column("completions/min_length"), metrics.column("completions/max_length")
    data = [*metrics.band(low, high, "range", "@2"), metrics.line(key, "mean", "@2")]
    if metrics.has("completions/mean_terminated_length"):
        data.append(metrics.line("completions/mean_terminated_length", "mean, uncut", "@3", dash="dot"))
    return chart_of(
        "lengths", "completions", "Completion length", "Tokens", data, metrics, key, yaxis={"rangemode": "tozero"}
    )


def _broken(metrics: Curves) -> Chart | None:
    kinds = [("completions/clipped_ratio", "cut at the limit", "@4"), ("format/failed", "broke the format", "@5")]
    data = [metrics.line(key, name, color) for key, name, color in kinds if metrics.has(key)]
    key = next((key for key, _, _ in kinds if metrics.has(key)), "")
    hint = "Share of completions with either fault"
    return (
        chart_of("broken", "completions", "Cut and malformed", hint, data, metrics, key, yaxis=SHARE) if data else None
    )


def _learning(metrics: Curves) -> list[Chart | None]:
    def single(key: str, title: str, hint: str, color: str, **yaxis: Any) -> Chart | None:
        line = metrics.line(key, title.lower(), color)
        return chart_of(key, "learning", title, hint, [line], metrics, key, yaxis=yaxis) if metrics.has(key) else None

    return [
        single("loss", "Loss", "Stays near 0 in GRPO, even while the policy learns", "@6"),
        single("kl", "KL", "From the model before training, nats per token", "@4", rangemode="tozero"),
        single("entropy", "Entropy", "Nats per token; near 0 the policy no longer explores", "@3", rangemode="tozero"),
        single("grad_norm", "Gradient norm", "Before clipping", "@5", rangemode="tozero"),
        single(
            "learning_rate",
            "Learning rate",
            "After warm-up and schedule",
            "@2",
            rangemode="tozero",
            tickformat="~e",
        ),
        _clip_ratios(metrics),
    ]


def _clip_ratios(metrics: Curves) -> Chart | None:
    kinds = [
        ("clip_ratio/region_mean", "either side", "@1", "solid"),
        ("clip_ratio/low_mean", "low", "@2", "dot"),
        ("clip_ratio/high_mean", "high", "@4", "dash"),
    ]
    data = [metrics.line(key, name, color, dash=dash) for key, name, color, dash in kinds if metrics.has(key)]
    key = next((key for key, *_ in kinds if metrics.has(key)), "")
    hint = "Share of tokens whose probability ratio was clipped"
    axis = {"tickformat": ".2~%", "rangemode": "tozero"}
    return chart_of("clip", "learning", "Clip ratio", hint, data, metrics, key, yaxis=axis) if data else None


def _machine(timings: Curves) -> list[Chart | None]:
    return [_time(timings), _speed(timings), _memory(timings), _judging(timings)]


def _time(timings: Curves) -> Chart | None:
    data = []
    for place, part in enumerate(_TIME_PARTS):
        key = f"time/{part}"
        if timings.has(key):
            # A part that a step did not have took no time; a gap would tear the stack apart.
            color = f"@{place % 6 + 1}"
            seconds = [value or 0.0 for value in timings.column(key)]
            area = curve(timings.steps, seconds, part, color, "solid")
            data.append(
                {
                    **area,
                    "stackgroup": "time",
                    "fillcolor": f"{color}-area",
                    "line": {"width": 0.5, "color": color, "shape": "hvh"},
                }
            )
    key = "step_time" if timings.has("step_time") else "time/generate"
    return chart_of("time", "machine", "Where a step's time goes", "Seconds", data, timings, key) if data else None


def _speed(timings: Curves) -> Chart | None:
    key = "tokens_per_second"
    if not timings.has(key):
        return None
    line = timings.line(key, "tokens per second", "@3")
    axis = {"rangemode": "tozero"}
    return chart_of(
        "speed", "machine", "Generation speed", "Tokens per second of sampling", [line], timings, key, yaxis=axis
    )


def _memory(timings: Curves) -> Chart | None:
    kinds = [
        ("memory/rss_bytes", "process", "@2", "solid"),
        ("memory/device_bytes", "device", "@3", "solid"),
        ("memory/peak_bytes", "peak", "@4", "dot"),
    ]
    data = [
        timings.line(key, name, color, scale=1e-9, dash=dash) for key, name, color, dash in kinds if timings.has(key)
    ]
    key = next((key for key, *_ in kinds if timings.has(key)), "")
    axis = {"rangemode": "tozero"}
    return chart_of("memory", "machine", "Memory", "GB", data, timings, key, scale=1e-9, yaxis=axis) if data else None


def _judging(timings: Curves) -> Chart | None:
    keys = {
        key
        for record in timings.records
        for key in record
        if key.startswith("rewards/") and key.endswith("/seconds_mean")
    }
    if not keys:
        return None
    data = [
        timings.line(key, key.removeprefix("rewards/").removesuffix("/seconds_mean"), f"@{place % 6 + 1}", scale=1e3)
        for place, key in enumerate(sorted(keys))
    ]
    hint = "Milliseconds a verdict; the scale is logarithmic"
    return chart_of(
        "judging",
        "machine",
        "Judging time",
        hint,
        data,
        timings,
        min(keys),
        scale=1e3,
        yaxis={"type": "log", "dtick": 1},
    )
