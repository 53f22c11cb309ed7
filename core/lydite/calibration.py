"""How well a reward was found to agree with labels: the audit that its plugin carries, as a line to read.

A plugin keeps the file that `lydite audit NAME LABELLED.jsonl --json` writes in its import package, as
`calibration/NAME.json` with the reward's name after its last slash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from lydite.config import RunConfig
from lydite.contracts import spec_of
from lydite.options import positional_names
from lydite.plugins import Offer, Plugins

FOLDER: Final = "calibration"
UNCALIBRATED: Final = "not calibrated"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an audit of a reward came to."""

    version: str
    """Of the distribution that was audited."""
    n: int
    tpr: float | None
    fpr: float | None
    j: float | None
    abstain: float
    """Share of the rows."""
    p50_ms: float | None
    options: Mapping[str, Any]

    @property
    def figures(self) -> str:
        """`TPR 0.93 FPR 0.00 J 0.93 on 240 labelled rows, p50 0.4 ms`."""
        rates = [
            f"{name} {value:.2f}" for name, value in (("TPR", self.tpr), ("FPR", self.fpr), ("J", self.j))
            if value is not None
        ]  # fmt: skip
        said = [f"{' '.join(rates)} on {self.n} labelled rows".lstrip()]
        if self.abstain:
            said.append(f"abstains on {self.abstain:.0%}")
        if self.p50_ms is not None:
            said.append(f"p50 {self.p50_ms:.2g} ms")
        return ", ".join(said)


def calibration_of(offer: Offer) -> Calibration | None:
    """The audit that the reward's plugin carries, or None when it carries none.

    Raises:
        ValueError: when there is a file that is no audit of this reward.
    """
    if offer.owner.source != "entry_point":
        return None
    module = offer.owner.location.split(":")[0].strip()
    file = f"{offer.name.rsplit('/', 1)[-1]}.json"
    try:
        found = resources.files(module.split(".")[0]) / FOLDER / file
        text = found.read_text(encoding="utf-8") if found.is_file() else None
    except (ImportError, TypeError, OSError):  # a plugin of one module has no folder of its own
        return None
    return None if text is None else _read(text, offer.name)


def calibration_line(offer: Offer, options: Mapping[str, Any] | None = None) -> str | None:
    """A line on how far to trust a reward that is used with these options, or None where there is nothing to say.

    Nothing is said of a reward without calibration that does not compare with a gold answer, since there is
    nothing that it could be right or wrong about.
    """
    owner = offer.owner
    spoken = f"{offer.name} {owner.version}" if owner.source == "entry_point" else f"{offer.name} ({owner})"
    try:
        found = calibration_of(offer)
    except ValueError as error:
        return f"{spoken}: its calibration cannot be read: {error}"
    if found is None:
        compares = spec_of(offer.thing).pays_for == "answer" and "reference" in positional_names(offer.thing)
        return f"{spoken}: {UNCALIBRATED}" if compares else None
    doubts = []
    if found.version != owner.version:
        doubts.append(f"measured with version {found.version}")
    if dict(found.options) != dict(options or {}):
        doubts.append(f"measured with {_spoken_options(found.options)}")
    return f"{spoken}: {found.figures}" + (f" ({', '.join(doubts)})" if doubts else "")


def calibration_lines(config: RunConfig, plugins: Plugins, *, uncalibrated: bool = True) -> tuple[str, ...]:
    """A line for each reward that a run uses, the held-out one included, where there is something to say.

    Without `uncalibrated`, nothing is said of rewards whose plugins carry no audit.
    """
    rewards = [*config.rewards.values(), *([config.eval.reward] if config.eval is not None else [])]
    lines = []
    for reward in rewards:
        offer = plugins.offers["rewards"].get(reward.use) or plugins.offers["group_rewards"].get(reward.use)
        lines.append(None if offer is None else calibration_line(offer, reward.options))
    said = dict.fromkeys(line for line in lines if line is not None)
    return tuple(line for line in said if uncalibrated or not line.endswith(UNCALIBRATED))


def _read(text: str, name: str) -> Calibration:
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("name") != name:
        raise ValueError(f"expected what `lydite audit {name} ... --json` writes")
    try:
        return Calibration(
            version=str(content["version"]),
            n=int(content["n"]),
            tpr=_number(content["tpr"]),
            fpr=_number(content["fpr"]),
            j=_number(content["j"]),
            abstain=float(content["abstain"]),
            p50_ms=_number(content["p50_ms"]),
            options=dict(content.get("options", {})),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}; write it again with lydite audit {name} ...") from None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _spoken_options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in options.items()) or "its default options"
