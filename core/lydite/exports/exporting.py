"""One export from beginning to end: `lydite export`, and `lydite.export` from Python."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from lydite.errors import ConfigError, ExportError
from lydite.exports.adapter import check_adapter, write_adapter
from lydite.exports.bounds import with_limit
from lydite.exports.card import card_text
from lydite.exports.dtypes import chosen_dtype, rounds_little
from lydite.exports.folder import CARD, PARITY, check_free, drafted
from lydite.exports.gguf import check_gguf, write_gguf_file
from lydite.exports.gguf_converter import find_converter
from lydite.exports.merged import write_merged
from lydite.exports.parity import Bound, Comparison, compare, greedy_answers, problems
from lydite.exports.target import Layout, Precision, Wanted, Written
from lydite.exports.trained import CONFIG, LONG_ANSWER, Trained, compute_in_float32, load_trained
from lydite.exports.vllm import write_vllm
from lydite.exports.weights import chosen_weights
from lydite.policy import resolve_source
from lydite.policy.dtypes import DTYPES, Dtype
from lydite.report.reader import read_run
from lydite.suggest import did_you_mean

Target: TypeAlias = Literal["adapter", "merged", "gguf", "vllm"]
TARGETS: Final[tuple[str, ...]] = get_args(Target)
EXPORTS: Final = "exports"
PROMPTS: Final = 50
ANSWER_TOKENS: Final = 64
"""Compared of each answer at most: a mistake shows in the first ones, and the parts after a difference say less."""

logger = logging.getLogger("lydite")


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that was opened again and found to be the policy that was trained."""

    folder: Path
    target: str
    parity: Mapping[str, Any]
    """The content of `parity.json`."""
    usage: str
    """How to load it: Python, or a command."""
    lines: tuple[str, ...]
    """What was found, a line each."""


def export(
    run: str | Path,
    to: Target,
    *,
    out: str | Path | None = None,
    checkpoint: str | None = None,
    dtype: Dtype | None = None,
    outtype: str | None = None,
    layout: Layout | None = None,
    converter: str | Path | None = None,
    n: int = PROMPTS,
    max_completion_length: int | None = None,
    max_drift: float | None = None,
    precision: Precision = "float32",
    base_model: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Writes what a run has learned for other programs, opens it again, and compares it with the trained policy.

    `checkpoint` is `best`, `last` or `step-N`; None: the best one where the run has one. `dtype` is that of merged
    weights (None: the run's, or float16 where bfloat16 loses much of what was learned), `outtype` that of a GGUF
    file's (None: f16), `layout` what vLLM is given (None: merged).
    Up to `n` prompts are asked, and answers of up to `max_completion_length` tokens (None: as in the run, at most 64)
    compared. `max_drift` replaces the bounds: the mean of |dlogp|, in nats a token. `base_model` is what the base is
    called in the card. Without `out` the export lies in the run's folder, in `exports/`.

    Raises:
        ConfigError: when the run, the checkpoint or the target is not there, or the folder is taken.
        ExportError: when the export is further from the policy than it may be; nothing is left of it then.
    """
    folder = Path(run)
    data = read_run(folder)
    _check_options(to, dtype=dtype, outtype=outtype, layout=layout, converter=converter)
    _check_numbers(n, max_completion_length, max_drift)
    if precision not in get_args(Precision):
        raise ConfigError(f"precision {precision!r}{did_you_mean(precision, get_args(Precision))}")
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} is not a whole run: it has no {CONFIG}")
    found_converter = None if converter is None else find_converter(Path(converter))
    if to == "gguf":
        check_gguf(outtype or "f16", found_converter)
    target = Path(out) if out is not None else folder / EXPORTS / (f"gguf-{outtype or 'f16'}" if to == "gguf" else to)
    weights = chosen_weights(data, checkpoint)
    check_free(target, overwrite=overwrite)
    trained = load_trained(data, weights, n)
    if to == "adapter":
        check_adapter(trained.policy.adapted)
    limit = max_completion_length or min(trained.config.train.max_completion_length, ANSWER_TOKENS)
    if precision == "float32":
        compute_in_float32(trained.policy)
    reason = None
    if dtype is None:
        merges = to == "merged" or (to == "vllm" and layout != "adapter")
        dtype, reason = chosen_dtype(trained, limit, precision) if merges else (trained.dtype, None)
    wanted = Wanted(
        dtype,
        outtype or "f16",
        layout or "merged",
        found_converter,
        precision,
        limit,
        max(*(len(prompt) + limit for prompt in trained.prompts), len(trained.long_prompt) + LONG_ANSWER),
    )
    logger.info("exporting %s of %s as %s", trained.weights.name, folder, to)
    with drafted(target) as draft:
        written = _WRITERS[to](trained, draft, wanted)
        found = _checked(trained, written, wanted, max_drift)
        _replace_card(draft, card_text(trained, written, found, target=to, folder=target, base=base_model))
        parity = _parity(trained, to, wanted, written, found, max_drift)
        (draft / PARITY).write_text(json.dumps(parity, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    lines = (*(str(one) for one in found), *(f"not opened with {one}" for one in written.unchecked))
    usage = written.usage(target, resolve_source(trained.config.model).location)
    return Exported(target, to, parity, usage, (*lines, *_advice(found, wanted, to, reason)))


_WRITERS: Final = {"adapter": write_adapter, "merged": write_merged, "gguf": write_gguf_file, "vllm": write_vllm}


def _check_options(to: str, **given: object) -> None:
    if to not in TARGETS:
        raise ConfigError(f"--to {to}: there is no such target{did_you_mean(to, TARGETS)}")
    belongs = {"dtype": ("merged", "vllm"), "outtype": ("gguf",), "layout": ("vllm",), "converter": ("gguf",)}
    for name, value in given.items():
        if value is not None and to not in belongs[name]:
            fit = " and ".join(belongs[name])
            raise ConfigError(f"--{name} is for --to {fit}, and the target is {to}; leave it out")
    for name, known in (("dtype", tuple(DTYPES)), ("layout", get_args(Layout))):
        value = given[name]
        if value is not None and value not in known:
            raise ConfigError(f"--{name} {value}: there is no such {name}{did_you_mean(str(value), known)}")


def _check_numbers(n: int, length: int | None, max_drift: float | None) -> None:
    if n < 1:
        raise ConfigError(f"an export is compared on at least 1 prompt, got n = {n}")
    if length is not None and length < 1:
        raise ConfigError(f"an answer has at least 1 token, got max_completion_length = {length}")
    if max_drift is not None and not max_drift >= 0:
        raise ConfigError(f"a bound on drift is a number from 0, got max_drift = {max_drift}")


def _checked(trained: Trained, written: Written, wanted: Wanted, max_drift: float | None) -> list[Comparison]:
    """The export beside the policy, as each program has it.

    Raises:
        ExportError: when it is further off than it may be, or lacks the policy's chat template.
    """
    own = greedy_answers(trained.policy, trained.prompts, wanted.limit)
    found, wrong = [], []
    for check in written.checks:
        reader = check.open()
        try:
            found.append(compare(trained, reader, own, wanted.limit, check.kind))
        finally:
            reader.close()
        wrong += problems(found[-1], with_limit(check.bound, max_drift))
    if wrong:
        listed = "\n  ".join(wrong)
        raise ExportError(f"the export is not the policy that was trained, and nothing is kept of it:\n  {listed}")
    return found


def _advice(found: Sequence[Comparison], wanted: Wanted, to: str, reason: str | None) -> list[str]:
    """What was done for the export's sake, or could be done better, a line each."""
    if reason is not None:
        return [reason]
    if all(map(rounds_little, found)):
        return []
    if to == "gguf" and wanted.outtype == "bf16":
        return ["bf16 has 8 bits for a number, and rounds what was trained; --outtype f16 keeps more"]
    if to in ("merged", "vllm") and wanted.layout == "merged" and wanted.dtype == "bfloat16":
        return ["bfloat16 has 8 bits for a number, and rounds what was trained; --dtype float16 keeps more"]
    return []


def _replace_card(draft: Path, text: str) -> None:
    for card in draft.rglob(CARD):  # peft's own, with nothing filled in
        card.unlink()
    (draft / CARD).write_text(text, encoding="utf-8")


def _parity(
    trained: Trained, to: str, wanted: Wanted, written: Written, found: list[Comparison], max_drift: float | None
) -> dict[str, Any]:
    return {
        "target": to,
        "weights": trained.weights.name,
        "step": trained.weights.step,
        "precision": wanted.precision,
        "dtype": wanted.dtype if to in ("merged", "vllm") else None,
        "outtype": wanted.outtype if to == "gguf" else None,
        "passed": True,
        "programs": [
            {**one.to_json(), "bound": _bound(with_limit(check.bound, max_drift))}
            for one, check in zip(found, written.checks, strict=True)
        ],
        "unchecked": list(written.unchecked),
    }


def _bound(bound: Bound) -> dict[str, Any]:
    kept = None if bound.kept is None else list(bound.kept)
    return {"mean_drift": bound.max_drift, "kept": kept, "drift_to_change": bound.drift_to_change}
