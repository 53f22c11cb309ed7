"""The three questions that a reader of a run has: did it learn, is it honest, and where did the time go?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from lydite.independence import LEVEL, sign_test
from lydite.report.before_after import pair_answers
from lydite.report.overview import heldout_line
from lydite.report.parting import divergence_of, parted_evaluations
from lydite.report.probing import probed_of
from lydite.report.reader import RunData
from lydite.report.wording import duration, is_number, number, percent

Verdict = Literal["good", "bad", "watch", "open"]
_PARTS: Final[Mapping[str, str]] = {
    "generate": "sampling",
    "score": "judging",
    "probe": "attacking its own rewards",
    "train": "training",
    "sentinels": "checking the engine",
    "eval": "evaluating",
    "checkpoint": "saving",
}
_WORTH_NAMING: Final = 0.01  # of the time


@dataclass(frozen=True, slots=True)
class Answered:
    """One question with what the run's files say to it."""

    question: str
    verdict: Verdict
    """good and bad: yes and no. watch: yes, with a doubt. open: the files do not tell."""
    short: str
    text: str


def answers_of(run: RunData) -> tuple[Answered, ...]:
    """The answers that the files have by now; the last one only where steps were timed."""
    answers = [_learned(run), _honest(run), _time(run)]
    return tuple(one for one in answers if one is not None)


def _learned(run: RunData) -> Answered:
    """The questions of the first and the last evaluation, each compared with itself, by a sign test."""
    question = "Did it learn?"
    first, last = run.first_eval, run.last_eval
    if first is None or last is None:
        text = "The run has no held-out evaluation, and a reward that rises is no proof. Add [eval]."
        return Answered(question, "open", "Nobody can tell", text)
    if first is last:
        return Answered(question, "open", "Not known yet", "There was one held-out evaluation so far.")
    pairs = [
        (one.before.score, one.after.score)
        for one in pair_answers(first, last)
        if one.before.score is not None and one.after.score is not None
    ]
    better = sum(now > then for then, now in pairs)
    worse = sum(now < then for then, now in pairs)
    told = f"{heldout_line(run)}: {better} of the answers got better and {worse} got worse"
    gain = float(last["value"]) - float(first["value"])
    if gain > 0 and sign_test(better, worse) <= LEVEL:
        return Answered(question, "good", "Yes", f"{told}, which chance would hardly do.")
    if gain < 0 and sign_test(worse, better) <= LEVEL:
        return Answered(question, "bad", "No, it got worse", f"{told}, which chance would hardly do.")
    return Answered(question, "open", "Not shown", f"{told}, which may be chance. More steps or a larger eval.n tell.")


def _honest(run: RunData) -> Answered:
    question = "Is it honest?"
    fooled = [one.reward for one in probed_of(run.probes) if one.passed]
    holes = f" Attacks, which hold no right answer, were paid by {', '.join(dict.fromkeys(fooled))}." if fooled else ""
    if len(run.evals) < 2:
        text = f"Without held-out evaluations nothing can be compared with the reward.{holes}"
        return Answered(question, "watch" if fooled else "open", "Nobody can tell", text)
    parted = parted_evaluations(run)
    if parted and parted[-1] is run.last_eval:
        return Answered(question, "bad", "Doubtful", f"{_sentence(str(divergence_of(parted[-1])))}.{holes}")
    shared = _shared_verifier(run)
    same = f" Both are judged by {shared}, though: a hole in it would show in neither." if shared else ""
    if parted:
        text = f"At step {parted[-1]['step']} the reward had risen and the held-out metric fallen; later it had not."
        return Answered(question, "watch", "With a doubt", f"{text}{holes}{same}")
    text = f"Reward and held-out metric have not parted at any of {len(run.evals)} evaluations.{holes}{same}"
    return Answered(question, "watch" if fooled else "good", "With a doubt" if fooled else "Nothing against it", text)


def _shared_verifier(run: RunData) -> str:
    """The reward that is trained on and judges the held-out answers as well; empty where they are different ones."""
    judge = _table(_table(run.config, "eval"), "reward").get("use")
    rewards = run.config.get("rewards")
    used = [one.get("use") for one in rewards.values() if isinstance(one, Mapping)] if isinstance(rewards, dict) else []
    return str(judge) if judge is not None and judge in used else ""


def _time(run: RunData) -> Answered | None:
    spent: defaultdict[str, float] = defaultdict(float)
    for record in run.timings:
        for key, value in record.items():
            if key.startswith("time/") and is_number(value):
                spent[key.removeprefix("time/")] += value
    whole = sum(spent.values())
    if not whole > 0.0:
        return None
    largest = sorted(spent, key=lambda part: -spent[part])
    named = [(_PARTS.get(part, part), spent[part] / whole) for part in largest]
    shares = ", ".join(f"{name} {percent(share)}" for name, share in named if share >= _WORTH_NAMING)
    slowest = _slowest(run) if spent["score"] * 2 > whole else ""
    text = f"{shares}; {duration(whole / len(run.timings))} a step{slowest}."
    return Answered("Where did the time go?", "open", _sentence(named[0][0]), _sentence(text))


def _slowest(run: RunData) -> str:
    """The reward whose longest verdict took longest, where judging leads."""
    longest: dict[str, float] = {}
    for record in run.timings:
        for key, value in record.items():
            if key.startswith("rewards/") and key.endswith("/seconds_max") and is_number(value):
                name = key.removeprefix("rewards/").removesuffix("/seconds_max")
                longest[name] = max(longest.get(name, 0.0), value)
    if not longest:
        return ""
    name = max(longest, key=lambda one: longest[one])
    return f"; the longest verdict was one of {name}, {number(longest[name])} s"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(content: Any, key: str) -> Mapping[str, Any]:
    inner = content.get(key) if isinstance(content, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
