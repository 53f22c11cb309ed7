"""What a reader of a run should not miss, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lydite.report.charts import reward_names
from lydite.report.parting import divergence_of, parted_evaluations
from lydite.report.probing import probed_of
from lydite.report.reader import Record, RunData
from lydite.report.tallies import Tallies, Tally
from lydite.report.wording import is_number, is_share, metric_text, number, percent

Level = Literal["bad", "watch", "note"]

_LAST_SHARE: Final = 0.25  # of the steps: what counts as the end of a run
_SAME_GROUPS: Final = 0.5  # from here on more than half of the sampling is wasted
_CUT: Final = 0.25  # of completions; a limit that bites this often shapes what is learned
_MALFORMED: Final = 0.5  # of completions at the end of a run: the format was not learned
_ABSTAINED: Final = 0.2  # of a reward's verdicts; below, a verifier knows its limits
_NAMED_ATTACKS: Final = 4
_ENTROPY_LEFT: Final = 0.1  # of the first entropy: hardly any exploration


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at."""

    level: Level
    """bad: something is wrong. watch: something may be. note: worth knowing."""
    title: str
    text: str


def findings_of(run: RunData, tallies: Tallies) -> tuple[Finding, ...]:
    """Everything that stands out, the worst first."""
    found = [
        *(Finding("bad", "A file is damaged", problem) for problem in run.problems),
        *_not_numbers(run),
        *_verdicts(tallies),
        *_parting_ways(run),
        *_probes(run),
        *_past_the_best(run),
        *_end_of_run(run),
        *_skipped(run),
        *_ending(run),
    ]
    order: dict[Level, int] = {"bad": 0, "watch": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.level]))


def _not_numbers(run: RunData) -> Iterator[Finding]:
    for key in ("loss", "grad_norm"):
        steps = [one["step"] for one in run.metrics if isinstance(one.get(key), float) and not math.isfinite(one[key])]
        if steps:
            where = f"at {len(steps)} steps, first at step {steps[0]}"
            text = f"{key} is not a finite number {where}. A lower learning_rate often helps."
            yield Finding("bad", "The optimisation broke down", text)


def _verdicts(tallies: Tallies) -> Iterator[Finding]:
    for tally in tallies.by_name.values():
        if tally.statuses["error"]:
            text = f"{_counted(tally, 'error')} An error counts as no verdict, never as 0."
            yield Finding("bad", f"Reward {tally.name} failed", text)
        if tally.statuses["timeout"]:
            text = f"{_counted(tally, 'timeout')} A completion that provokes one gets the worst score of the range."
            yield Finding("watch", f"Reward {tally.name} ran out of time", text)
        if tally.statuses["abstain"] > _ABSTAINED * tally.n:
            text = f"{_counted(tally, 'abstain')} What it cannot judge does not train the model."
            yield Finding("watch", f"Reward {tally.name} often cannot judge", text)


def _counted(tally: Tally, status: str) -> str:
    n = tally.statuses[status]
    verdicts = "verdict" if tally.n == 1 else "verdicts"
    reasons = [(reason, count) for (of, reason), count in tally.reasons.most_common() if of == status and reason]
    named = f", most often {reasons[0][0]}" if reasons else ""
    return f"{n:,} of {tally.n:,} {verdicts} ({percent(n / tally.n)}){named}."


def _parting_ways(run: RunData) -> Iterator[Finding]:
    """The reward climbed and the held-out metric fell: the model may have found a hole in the rewards."""
    parted = parted_evaluations(run)
    if not parted:
        return
    last = divergence_of(parted[-1])
    over = "" if parted[-1] is run.last_eval else " Later evaluations do not show it any more."
    text = (
        f"Step {parted[-1]['step']}: {last}.{over} The model may be exploiting a reward: read completions with a high "
        "reward. The adapter of the best evaluation is kept in checkpoints/best."
    )
    yield Finding("watch" if over else "bad", "Reward up, held-out down", text)


def _probes(run: RunData) -> Iterator[Finding]:
    for one in probed_of(run.probes):
        if not one.passed:
            continue
        what = "canaries of its judge" if one.kind == "canary" else "attacks"
        named = ", ".join(f"{taken.attack} ({taken.passed} of {taken.tried})" for taken in one.taken[:_NAMED_ATTACKS])
        more = f" and {len(one.taken) - _NAMED_ATTACKS} more" if len(one.taken) > _NAMED_ATTACKS else ""
        text = (
            f"It passed {one.passed:,} of {one.tried:,} {what}: {named}{more}. These texts hold no right answer; "
            "what it pays for them a model can learn to write. See probes.jsonl, and lydite check."
        )
        yield Finding("bad", f"Reward {one.reward} can be fooled", text)


def _past_the_best(run: RunData) -> Iterator[Finding]:
    best, last = run.best_eval, run.last_eval
    if best is None or last is None or best is last:
        return
    share = is_share(one["value"] for one in run.evals)
    values = [float(one["value"]) for one in run.evals]
    if float(best["value"]) - float(last["value"]) > _chance(values, last.get("n"), share=share):
        was, now = metric_text(best["value"], share=share), metric_text(last["value"], share=share)
        text = (
            f"Held-out {last.get('metric', 'quality')} was {was} at step {best['step']} and is {now} now. "
            "The adapter of the best evaluation is kept."
        )
        yield Finding("watch", "The best was earlier", text)


def _chance(heldout: Sequence[float], n: object, *, share: bool) -> float:
    """How far a held-out value may move by chance: one standard error of a share at its widest, sqrt(0.25 / n)."""
    if not share:
        return 0.05 * max(abs(one) for one in heldout)
    return math.sqrt(0.25 / n) if isinstance(n, int | float) and is_number(n) and n > 0 else 0.05


def _end_of_run(run: RunData) -> Iterator[Finding]:
    late = run.metrics[-max(1, math.ceil(len(run.metrics) * _LAST_SHARE)) :] if run.metrics else ()
    same = _late(late, "frac_reward_zero_std")
    if same > _SAME_GROUPS:
        text = (
            f"In the last quarter of the run {percent(same)} of the prompts got equal rewards for all their "
            "completions. They teach nothing: take harder or easier prompts, or a finer reward."
        )
        yield Finding("watch", "Most groups make no difference", text)
    cut = _late(late, "completions/clipped_ratio")
    if cut > _CUT:
        text = (
            f"{percent(cut)} of the completions hit max_completion_length at the end of the run. "
            "Raise it, or reward brevity."
        )
        yield Finding("watch", "Completions are cut", text)
    malformed = _late(late, "format/failed")
    if malformed > _MALFORMED:
        text = f"{percent(malformed)} of the completions at the end of the run cannot be read by the format."
        yield Finding("watch", "The format is not kept", text)
    entropies = [one["entropy"] for one in run.metrics if is_number(one.get("entropy"))]
    if len(entropies) > 2 and 0 <= entropies[-1] < _ENTROPY_LEFT * entropies[0]:
        text = (
            f"Entropy fell from {number(entropies[0])} to {number(entropies[-1])} nats per token: "
            "sampling gives nearly the same text each time."
        )
        yield Finding("note", "Little exploration is left", text)
    silent = [name for name in reward_names(run.metrics) if _never_moved(run.metrics, name)]
    if silent:
        text = (
            f"{', '.join(silent)}: the same score for every completion of the run. It has no part in what was learned."
        )
        yield Finding("watch", "A reward that never differs", text)


def _skipped(run: RunData) -> Iterator[Finding]:
    if run.skipped:
        reasons = Counter(str(one.get("reason", "")).split(":")[0] or "no reason given" for one in run.skipped)
        several = len(run.skipped) > 1
        named = "; ".join(reason + (f" ({count:,})" if several else "") for reason, count in reasons.most_common(3))
        samples = "samples were" if several else "sample was"
        yield Finding(
            "note", "Some data was left out", f"{len(run.skipped):,} {samples} skipped: {named}. See skipped.jsonl."
        )


def _ending(run: RunData) -> Iterator[Finding]:
    stopped = run.summary.get("stopped") if run.summary else None
    if stopped == "early_stop":
        of = f" of {run.max_steps}" if run.max_steps else ""
        text = f"Held-out evaluations stopped getting better; the run ended at step {run.steps}{of}."
        yield Finding("note", "Stopped early", text)
    elif stopped == "divergence":
        text = f"Reward and held-out metric had parted, and eval.on_divergence ended the run at step {run.steps}."
        yield Finding("note", "Stopped by the divergence", text)
    elif stopped not in (None, "finished"):
        yield Finding("watch", "The run did not finish", f"It ended with: {stopped}.")


def _never_moved(metrics: Sequence[Record], name: str) -> bool:
    stds = [one[key] for one in metrics if is_number(one.get(key := f"rewards/{name}/std"))]
    means = {one[key] for one in metrics if is_number(one.get(key := f"rewards/{name}/mean"))}
    return len(stds) > 2 and max(stds) == 0 and len(means) == 1


def _late(records: Sequence[Record], key: str) -> float:
    values = [one[key] for one in records if is_number(one.get(key))]
    return _mean(values) if values else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
