"""What a run is told of in the model card of its export."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lydite.audit import wilson_interval
from lydite.audit.rates import Z95, Interval
from lydite.config import ModelConfig
from lydite.exports.trained import Trained
from lydite.policy import resolve_source
from lydite.report.reader import Record

_DIGITS: Final = 12  # of a digest, which tell versions apart


@dataclass(frozen=True, slots=True)
class Heldout:
    """A held-out evaluation: its mean, over how many answers, and how sure one can be of it."""

    step: int
    metric: str
    value: float
    n: int
    interval: Interval | None
    """95 %; None where the run kept no single scores."""


def heldout_of(record: Record) -> Heldout:
    """The evaluation in one line of evals.jsonl."""
    scores = [float(one["score"]) for one in record.get("answers", ()) if one.get("score") is not None]
    return Heldout(
        int(record["step"]), str(record["metric"]), float(record["value"]), int(record["n"]), mean_interval(scores)
    )


def mean_interval(scores: Sequence[float]) -> Interval | None:
    """The 95 % interval of a mean: Wilson's where every score is 0 or 1, else that of the normal distribution."""
    n = len(scores)
    if n < 2:
        return None
    if all(one in (0.0, 1.0) for one in scores):
        return wilson_interval(round(sum(scores)), n)
    mean = sum(scores) / n
    half = Z95 * math.sqrt(sum((one - mean) ** 2 for one in scores) / (n - 1) / n)
    return mean - half, mean + half


def before_and_after(trained: Trained) -> tuple[Heldout, Heldout] | None:
    """The evaluation before training and that of the weights that leave; None where those were not evaluated."""
    run, step = trained.run, trained.weights.step
    after = next((one for one in run.evals if one["step"] == step), None)
    if run.first_eval is None or after is None:
        return None
    return heldout_of(run.first_eval), heldout_of(after)


def licence_of(model: ModelConfig) -> str | None:
    """The licence that the base names in its own card or GGUF file, where it lies on this disk; else None."""
    source = resolve_source(model)
    if source.kind == "hub":
        return None
    if source.gguf_file is not None:
        import gguf

        field = gguf.GGUFReader(Path(source.location) / source.gguf_file).get_field("general.license")
        return None if field is None else str(field.contents())
    card = Path(source.location) / "README.md"
    if not card.is_file():
        return None
    from huggingface_hub import ModelCard

    try:
        named = ModelCard(card.read_text(encoding="utf-8", errors="replace"), ignore_metadata_errors=True).data.license
    except ValueError:
        return None
    return named if isinstance(named, str) else None


def reward_lines(config: Mapping[str, Any]) -> list[str]:
    """One line for each reward of a run's configuration."""
    return [
        f"`{name}`: `{reward['use']}`, weight {reward.get('weight', 1.0):g}"
        for name, reward in config.get("rewards", {}).items()
    ]


def plugin_lines(manifest: Mapping[str, Any]) -> list[str]:
    """One line for each plugin of a run's manifest: distribution, version, digest."""
    return [
        f"`{one['distribution']}` {one['version']}"
        + (f" (sha256 `{one['sha256'][:_DIGITS]}`)" if one.get("sha256") else "")
        for one in manifest.get("plugins", ())
    ]
