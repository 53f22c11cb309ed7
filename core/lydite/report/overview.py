"""The head of a report: what was run, how it ended, and its figures as tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lydite.report.reader import RunData
from lydite.report.wording import NOTHING, duration, in_words, is_number, is_share, memory_text, metric_text, number

Status = Literal["finished", "stopped", "running", "unfinished"]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure with its name and a line that explains it."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Who, what and how it went."""

    name: str
    status: Status
    status_text: str
    model: str
    device: str
    tiles: tuple[Tile, ...]
    facts: tuple[tuple[str, str], ...]
    """Name and value of what is needed to run it again."""
    plugins: tuple[tuple[str, str, str], ...]
    """Distribution, version and digest."""
    packages: tuple[tuple[str, str], ...]


def overview_of(run: RunData, *, live: bool = False) -> Overview:
    """The head of a run's report; `live` says that the run is being followed."""
    status, status_text = _status(run, live)
    return Overview(
        name=str(run.summary.get("name") or run.name) if run.summary else str(run.config.get("name") or run.name),
        status=status,
        status_text=status_text,
        model=in_words(run.manifest.get("model") or _path(run.config, "model", "path")),
        device=in_words(run.manifest.get("device")),
        tiles=tuple(
            tile for tile in (_heldout(run), _reward(run), _steps(run), _time(run), _speed(run), _memory(run)) if tile
        ),
        facts=tuple((name, value) for name, value in _facts(run) if value),
        plugins=_plugins(run),
        packages=tuple((str(name), str(version)) for name, version in _mapping(run.manifest.get("packages")).items()),
    )


def heldout_values(run: RunData) -> tuple[float, float, float] | None:
    """First, best and last held-out value; None without an evaluation."""
    first, best, last = run.first_eval, run.best_eval, run.last_eval
    if first is None or best is None or last is None:
        return None
    return float(first["value"]), float(best["value"]), float(last["value"])


def heldout_line(run: RunData) -> str:
    """The held-out metric from first to last in one line; empty without an evaluation."""
    values = heldout_values(run)
    if values is None:
        return ""
    first, _, last = values
    share = is_share(values)
    n = run.evals[-1].get("n")
    asked = f" on {n} held-out questions" if n else " on held-out questions"
    arrow = f"{metric_text(first, share=share)} → {metric_text(last, share=share)}"
    return f"{run.evals[-1].get('metric', 'score')} {arrow} ({_gain(last - first, share)}){asked}"


def _status(run: RunData, live: bool) -> tuple[Status, str]:
    if run.summary is not None:
        stopped = str(run.summary.get("stopped", "finished"))
        if stopped == "finished":
            return "finished", "finished"
        words = {"early_stop": "stopped early", "divergence": "stopped: reward and held-out metric parted"}
        return "stopped", words.get(stopped, f"ended: {stopped.replace('_', ' ')}")
    return ("running", "running") if live else ("unfinished", "not finished")


def _heldout(run: RunData) -> Tile | None:
    values = heldout_values(run)
    if values is None or run.best_eval is None:
        return None
    first, best, last = values
    share = is_share(values)
    text = f"{metric_text(first, share=share)} → {metric_text(last, share=share)}"
    where = f"best {metric_text(best, share=share)} at step {run.best_eval['step']}"
    return Tile(f"Held-out {run.evals[-1].get('metric', 'score')}", text, f"{_gain(last - first, share)}, {where}")


def _gain(gain: float, share: bool) -> str:
    if share:
        return f"{gain * 100:+.1f} points"
    return ("+" if gain >= 0 else "-") + number(abs(gain))


def _reward(run: RunData) -> Tile | None:
    rewards = [(one["step"], one["reward"]) for one in run.metrics if is_number(one.get("reward"))]
    if not rewards:
        return None
    best = max(rewards, key=lambda one: one[1])
    return Tile(
        "Reward", f"{number(rewards[0][1])} → {number(rewards[-1][1])}", f"best {number(best[1])} at step {best[0]}"
    )


def _steps(run: RunData) -> Tile:
    tokens = run.metrics[-1].get("num_tokens") if run.metrics else None
    detail = f"{tokens:,.0f} tokens sampled" if is_number(tokens) else ""
    return Tile("Steps", f"{run.steps:,}" + (f" of {run.max_steps:,}" if run.max_steps else ""), detail)


def _time(run: RunData) -> Tile | None:
    steps = [one["step_time"] for one in run.timings if is_number(one.get("step_time"))]
    seconds = run.summary.get("seconds") if run.summary else sum(steps) if steps else None
    if not is_number(seconds):
        return None
    return Tile("Duration", duration(seconds), f"{duration(sum(steps) / len(steps))} a step" if steps else "")


def _speed(run: RunData) -> Tile | None:
    speeds = [one["tokens_per_second"] for one in run.timings if is_number(one.get("tokens_per_second"))]
    overall = run.summary.get("tokens_per_second") if run.summary else None
    if not is_number(overall):
        overall = sum(speeds) / len(speeds) if speeds else None
    return Tile("Tokens per second", number(round(overall)), "while sampling") if is_number(overall) else None


def _memory(run: RunData) -> Tile | None:
    peak = run.summary.get("peak_memory_bytes") if run.summary else None
    if not is_number(peak):
        peak = max(
            (one["memory/peak_bytes"] for one in run.timings if is_number(one.get("memory/peak_bytes"))), default=None
        )
    return Tile("Peak memory", memory_text(peak), "") if is_number(peak) else None


def _facts(run: RunData) -> list[tuple[str, str]]:
    manifest = run.manifest
    train = _mapping(run.config.get("train"))
    sizes = [f"{train[key]} {word}" for key, word in (("num_generations", "completions a prompt"),) if key in train]
    return [
        ("Folder", str(run.folder)),
        ("Model", in_words(manifest.get("model") or _path(run.config, "model", "path"))),
        ("Device", in_words(manifest.get("device"))),
        ("Seed", in_words(manifest.get("seed"))),
        ("Data", in_words(_path(run.config, "data", "use"))),
        ("Groups", ", ".join(sizes)),
        ("Learning rate", in_words(train.get("learning_rate"))),
        ("Loss", in_words(train.get("loss_type"))),
        ("lydite", in_words(manifest.get("lydite"))),
        ("Python", in_words(manifest.get("python"))),
    ]


def _plugins(run: RunData) -> tuple[tuple[str, str, str], ...]:
    listed = manifest if isinstance(manifest := run.manifest.get("plugins"), list) else []
    found = {
        str(one.get("distribution", "")): (in_words(one.get("version")), in_words(one.get("sha256"))[:12])
        for one in listed
        if isinstance(one, Mapping)
    }
    if not found and run.summary:
        found = {str(name): (str(version), "") for name, version in _mapping(run.summary.get("plugins")).items()}
    return tuple((name, version or NOTHING, digest) for name, (version, digest) in sorted(found.items()))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _path(config: Mapping[str, Any], section: str, key: str) -> Any:
    return _mapping(config.get(section)).get(key)
