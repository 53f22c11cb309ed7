"""The model card: README.md of an export, from the run's own records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lydite.exports.facts import Heldout, before_and_after, licence_of, plugin_lines, reward_lines
from lydite.exports.parity import Comparison
from lydite.exports.target import Written
from lydite.exports.trained import Trained, base_name
from lydite.policy import resolve_source

_SHORT_NAME: Final = re.compile(r"[a-z0-9.+-]+")
TAGS: Final = ("lydite", "reinforcement-learning", "verifiable-rewards")


def card_text(
    trained: Trained, written: Written, found: Sequence[Comparison], *, target: str, folder: Path, base: str | None
) -> str:
    """The card: YAML that hubs read, what was trained on what, what came of it, how far the export is from it."""
    on_hub = base or (base_name(trained.config) if resolve_source(trained.config.model).kind == "hub" else None)
    base = base or base_name(trained.config)
    licence = licence_of(trained.config.model)
    parts = [
        f"---\n{_front_matter(trained, written, on_hub, licence)}\n---",
        f"# {trained.run.name}",
        f"`{base}`, trained with lydite against rewards that can be checked. This is the export `{target}`.",
        _table(trained, base),
        _heldout(trained),
        _rewards(trained),
        _parity(written, found),
        f"## Use\n\n```{written.language}\n{written.usage(Path(folder.name), base)}\n```",
        _licence(base, licence),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(trained: Trained, written: Written, base: str | None, licence: str | None) -> str:
    """What hubs read. They refuse a `base_model` that none of their models is called, such as a folder's name."""
    from huggingface_hub import EvalResult, ModelCardData

    pair = before_and_after(trained)
    results = None
    if pair is not None:
        after = pair[1]
        results = [
            EvalResult(
                task_type="text-generation",
                dataset_type=trained.config.data.use,
                dataset_name=f"{trained.config.data.use}, held out",
                metric_type=after.metric,
                metric_value=round(after.value, 6),
            )
        ]
    text: str = ModelCardData(
        base_model=base,
        library_name=written.library,
        **_licence_fields(licence),
        pipeline_tag="text-generation",
        tags=list(dict.fromkeys((trained.config.algorithm, *TAGS))),
        model_name=trained.run.name if results else None,
        eval_results=results,
    ).to_yaml()
    return text.strip()


def _licence_fields(licence: str | None) -> dict[str, str]:
    """What hubs read of a licence: its short name, and one that is none in a field of its own."""
    if licence is None:
        return {}
    return {"license": licence} if _SHORT_NAME.fullmatch(licence) else {"license": "other", "license_name": licence}


def _table(trained: Trained, base: str) -> str:
    config, manifest, weights = trained.config, trained.run.manifest, trained.weights
    model, lora, train = config.model, config.lora, config.train
    packed = "" if model.quantization == "none" else f"{model.quantization}, computed in "
    step = "" if weights.step is None else f", after step {weights.step} of {trained.run.steps}"
    packages = manifest.get("packages", {})
    made_with = [f"{name} {packages[name]}" for name in ("torch", "transformers", "peft") if name in packages]
    rows = {
        "base": f"`{base}`" + (f" at `{model.revision}`" if model.revision else ""),
        "base held in": packed + model.dtype,
        "adapter": f"LoRA, r = {lora.r}, alpha = {lora.alpha}" if lora.enabled else "none: every weight was trained",
        "data": f"`{config.data.use}`",
        "checkpoint": f"`{weights.name}`{step}",
        "a step": f"{train.prompts_per_step} prompts x {train.num_generations} completions",
        "algorithm": f"`{config.algorithm}`, learning rate {train.learning_rate:g}",
        "seed": str(config.seed),
        "made with": ", ".join([f"lydite {manifest.get('lydite', '(version not on record)')}", *made_with]),
    }
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _heldout(trained: Trained) -> str:
    pair = before_and_after(trained)
    if pair is None:
        return "## Held out\n\nThe run made no held-out evaluation of these weights."
    before, after = pair
    judge = trained.config.eval.reward.use if trained.config.eval is not None else "its reward"
    return (
        f"## Held out\n\nGreedy answers to questions that were never trained on, judged by `{judge}`.\n\n"
        f"| | {after.metric} | 95 % interval | n |\n|---|---|---|---|\n{_row('before', before)}\n{_row('after', after)}"
    )


def _row(name: str, one: Heldout) -> str:
    between = "not on record" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
    return f"| {name} (step {one.step}) | {one.value:.3f} | {between} | {one.n} |"


def _rewards(trained: Trained) -> str:
    rewards = "\n".join(f"- {line}" for line in reward_lines(trained.run.config))
    plugins = plugin_lines(trained.run.manifest)
    loaded = "" if not plugins else "\n\nFrom these plugins:\n\n" + "\n".join(f"- {line}" for line in plugins)
    return f"## Rewards\n\n{rewards}{loaded}"


def _parity(written: Written, found: Sequence[Comparison]) -> str:
    lines = [f"- {one}" for one in found] + [f"- not opened with {one}" for one in written.unchecked]
    return (
        "## Parity\n\nThe export was opened again, and its greedy answers and their log-probabilities (nats a token) "
        "compared with those of the policy that was trained. All figures are in `parity.json`.\n\n" + "\n".join(lines)
    )


def _licence(base: str, licence: str | None) -> str:
    named = f"names `{licence}`" if licence else "may limit what is made of it"
    return (
        f"## Licence\n\nThese weights are made from `{base}`, which {named}: its licence holds for them, and so do the "
        "terms of the data. Training added no licence of its own."
    )
