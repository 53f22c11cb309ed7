"""A reply refuses what is contraindicated, and never recommends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lydite import Evidence, Verdict, reward
from lydite_medical.lexicon import Phrase, advice, table
from lydite_medical.polarity import Sense, sense_of
from lydite_medical.reply import own_words
from lydite_medical.words import find_phrase, sentences, words_of


@reward(range=(0.0, 1.0), isolation="inline")
def contraindication(
    answer: str,
    contraindicated: Any,
    prompt: Any,
    synonyms: Any = None,
    conditions: Any = None,
    *,
    absent: Literal["half", "pass", "fail", "abstain"] = "half",
    refuse: Literal["any", "all"] = "any",
) -> Verdict:
    """1 when the reply refuses what is contraindicated, 0 when it recommends it; `absent` says what else earns.

    The column `contraindicated` is a name, a list of names, or a list of pairs (name, condition) of which those count
    whose condition stands in the column `conditions`. `synonyms` maps a name to its brands and other names. A mention
    without a refusal is a recommendation; one in a question, or that tells what a drug does, is neither, and a refusal
    with an "unless" is none: both are judged as `absent`, where "half" earns 0.5 and does not pass. With
    `refuse = "all"` every name must be refused.
    """
    names = _names(contraindicated, synonyms, conditions)
    if isinstance(names, str):
        return Verdict.error(names, scope="prompt")
    if not names:
        return Verdict.abstain("contraindicated.none", scope="prompt")
    reply = own_words(answer, prompt)
    if reply.problem:
        return Verdict(0.0, passed=False, reason=reply.problem)
    senses = _senses(reply.text, names)
    every = {sense: name for name, found in senses.items() for sense in found}
    refused = [name for name, found in senses.items() if Sense.REFUSED in found]
    if Sense.ADVISED in every:
        reason = "contraindication.contradicted" if refused else "contraindication.recommended"
        return _verdict(0.0, False, reason, every[Sense.ADVISED])
    if refused and _taken_back(reply.text):
        return _verdict(0.0, False, "contraindication.contradicted", refused[0])
    if len(refused) == len(names) or (refused and refuse == "any"):
        return _verdict(1.0, True, "contraindication.refused", refused[0])
    if Sense.HEDGED in every:
        return _absent("contraindication.hedged", absent)
    return _absent("contraindication.mentioned" if every else "contraindication.absent", absent)


def _verdict(score: float, passed: bool, reason: str, name: str) -> Verdict:
    return Verdict(score, passed=passed, reason=reason, parsed=name, evidence=(Evidence(name),))


def _absent(reason: str, absent: str) -> Verdict:
    if absent == "abstain":
        return Verdict.abstain(reason)
    score = {"half": 0.5, "pass": 1.0, "fail": 0.0}[absent]
    return Verdict(score, passed=absent == "pass", reason=reason)


def _senses(text: str, names: Mapping[str, frozenset[Phrase]]) -> dict[str, list[Sense]]:
    """What each sentence does with each name that it mentions."""
    found: dict[str, list[Sense]] = {name: [] for name in names}
    for sentence in sentences(text):
        cues = advice().cues(sentence.words)
        for name, phrases in names.items():
            places = {at: phrase for phrase in sorted(phrases, key=len) for at in find_phrase(sentence.words, phrase)}
            for at, phrase in places.items():
                found[name].append(sense_of(sentence, cues, at, at + len(phrase)))
    return found


def _taken_back(text: str) -> bool:
    """Whether a sentence takes a refusal back: "take it anyway", or "take 500 mg of it" at its start."""
    return any(
        _commands_it(sentence.words) or any(cue.kind == "retractions" for cue in advice().cues(sentence.words))
        for sentence in sentences(text)
    )


def _commands_it(words: Phrase) -> bool:
    """Whether a sentence begins by telling to take "it", an amount aside."""
    given = table("advice")["pronouns"]
    rest = [word for word in words[:10] if word not in given["fillers"] and not word[0].isdigit()]
    return len(rest) > 1 and rest[0] in given["verbs"] and rest[1] in given["objects"]


def _names(column: Any, synonyms: Any, conditions: Any) -> dict[str, frozenset[Phrase]] | str:
    """Each name that counts with all its wordings, or the code of the column that is broken."""
    present = _texts(conditions)
    if conditions is not None and present is None:
        return "conditions.broken"
    rows = [column] if isinstance(column, str | Mapping) else column
    if not isinstance(rows, list | tuple):
        return "contraindicated.broken"
    others: Any = {} if synonyms is None else synonyms
    if not isinstance(others, Mapping):
        return "synonyms.broken"
    spelled = {str(name).casefold(): _texts(values) for name, values in others.items()}
    names: dict[str, frozenset[Phrase]] = {}
    for row in rows:
        name, condition = _pair(row)
        if not isinstance(name, str) or not words_of(name):
            return "contraindicated.broken"
        if (
            condition is not None
            and present is not None
            and condition.casefold() not in {one.casefold() for one in present}
        ):
            continue
        wordings = spelled.get(name.casefold(), [])
        if wordings is None:
            return "synonyms.broken"
        names[name] = frozenset(form for one in [name, *wordings] for form in _forms(words_of(one)))
    return names


def _pair(row: Any) -> tuple[Any, str | None]:
    if isinstance(row, Mapping):
        row = (row.get("name"), row.get("condition"))
    if isinstance(row, list | tuple) and len(row) == 2:
        return row[0], row[1] if isinstance(row[1], str) else None
    return row, None


def _texts(value: Any) -> list[str] | None:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        return None
    return list(values)


def _forms(words: Phrase) -> set[Phrase]:
    """A name, and its plural."""
    return {words, (*words[:-1], words[-1] + "s")} if words else set()
