"""What a run came to: the content of its `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lydite.config import EvalConfig, RunConfig
from lydite.progress import Progress


def summary_of(config: RunConfig, progress: Progress, manifest: Mapping[str, Any], stopped: str) -> dict[str, Any]:
    """What is written of a run that has ended; `stopped` says why it did."""
    heldout = None
    if config.eval is not None:
        heldout = {
            "metric": config.eval.metric,
            "n": progress.heldout_n,
            "first": progress.first_heldout,
            "best": progress.best_heldout,
            "last": progress.last_heldout,
            "best_step": progress.best_step,
            "divergence": _diverged(config.eval, progress),
        }
    seconds = progress.generated_seconds
    return {
        "name": config.name,
        "steps": progress.step,
        "stopped": stopped,
        "seconds": round(progress.seconds, 3),
        "heldout": heldout,
        "reward": {"first": progress.first_reward, "last": progress.last_reward},
        "tokens_per_second": round(progress.num_tokens / seconds, 1) if seconds else None,
        "peak_memory_bytes": int(progress.peak_memory_bytes),
        "plugins": {one["distribution"]: one["version"] for one in manifest["plugins"]},
        "report": None,
    }


def _diverged(evaluation: EvalConfig, progress: Progress) -> dict[str, Any] | None:
    """How reward and held-out metric had parted at the end, where the run looked at it."""
    if evaluation.on_divergence == "off":
        return None
    found = progress.independence.divergence(evaluation.divergence_patience)
    return asdict(found) if found is not None else None
