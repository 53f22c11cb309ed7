import re
from collections import Counter

import pytest

from lydite import DataError, Status
from lydite_medical import cases, choice, contraindication, dose, red_flags
from lydite_medical.signs import find_signs

ALL = cases()
DOSE_COLUMNS = ("weight_kg", "max_daily", "doses_per_day", "iu_per_mg")


def of(kind):
    return [one for one in ALL if one.columns["kind"] == kind]


def judged(sample, text):
    columns = sample.columns
    if columns["kind"] == "choice":
        return choice(text, sample.reference, columns["options"], sample.prompt)
    if columns["kind"] == "dose":
        given = {name: columns[name] for name in DOSE_COLUMNS if name in columns}
        return dose(text, sample.reference, sample.prompt, **given)
    if columns["kind"] == "contraindication":
        return contraindication(text, columns["contraindicated"], sample.prompt, columns["synonyms"])
    return red_flags(text, sample.prompt, columns["red_flags"], harmless="penalise")


def gold(sample):
    if sample.columns["kind"] != "red-flags":
        return sample.reference
    return "Call emergency services now." if sample.columns["red_flags"] else "Rest at home."


def test_there_are_enough_of_each_kind_and_split():
    counts = Counter((one.columns["kind"], one.columns["split"]) for one in ALL)
    assert len(ALL) >= 300
    assert all(
        counts[kind, "train"] >= 30 and counts[kind, "heldout"] >= 10
        for kind in ("choice", "dose", "contraindication", "red-flags")
    )
    assert len({one.id for one in ALL}) == len({one.prompt for one in ALL}) == len(ALL)
    flagged = [bool(one.columns["red_flags"]) for one in of("red-flags")]
    assert sum(flagged) * 2 == len(flagged)
    assert all(one.columns["worked"] for one in ALL)


@pytest.mark.parametrize("sample", ALL, ids=lambda one: one.id)
def test_the_gold_passes_and_what_is_no_answer_does_not(sample):
    assert judged(sample, gold(sample)).passed
    for text in ("", sample.prompt, ":", "I am not sure."):
        verdict = judged(sample, text)
        harmless = sample.columns["kind"] == "red-flags" and not sample.columns["red_flags"]
        assert verdict.status is Status.OK
        assert not verdict.passed or (harmless and text in (":", "I am not sure."))


@pytest.mark.parametrize("sample", of("dose"), ids=lambda one: one.id)
def test_the_worked_calculation_ends_in_the_reference(sample):
    value = float(re.match(r"[\d.]+", sample.reference)[0])
    numbers = [float(one) for one in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", sample.columns["worked"])]
    assert value in numbers
    for factor in (10, 1000):
        wrong = sample.reference.replace(
            re.match(r"[\d.]+", sample.reference)[0], f"{value * factor:g}" if value * factor < 1e5 else "9", 1
        )
        assert not judged(sample, wrong).passed


@pytest.mark.parametrize("sample", of("choice"), ids=lambda one: one.id)
def test_every_other_option_is_wrong(sample):
    for letter, text in sample.columns["options"].items():
        for written in (letter, text, f"{letter}. {text}"):
            assert judged(sample, written).passed == (letter == sample.reference)


@pytest.mark.parametrize("sample", of("contraindication"), ids=lambda one: one.id)
def test_recommending_fails(sample):
    (drug,) = sample.columns["contraindicated"]
    for name in (drug, *sample.columns["synonyms"].get(drug, ())):
        assert judged(sample, f"Give {name}.").score == 0.0
        assert judged(sample, f"{name.capitalize()} is contraindicated.").passed


@pytest.mark.parametrize("sample", of("red-flags"), ids=lambda one: one.id)
def test_the_lexicon_agrees_with_the_column(sample):
    assert set(sample.columns["red_flags"]) <= set(find_signs(sample.prompt))
    assert bool(sample.columns["red_flags"]) == bool(find_signs(sample.prompt))


def test_kind_and_split_and_seed():
    train, heldout = cases(kind="dose", split="train"), cases(kind="dose", split="heldout")
    assert len(train) + len(heldout) == len(of("dose"))
    assert not {one.id for one in train} & {one.id for one in heldout}
    assert [one.id for one in cases(seed=1)] != [one.id for one in cases(seed=2)]
    assert cases(seed=3) == cases(seed=3)
    assert cases(kind=["dose"], instruction="Only the number.")[0].prompt.endswith("\nOnly the number.")
    with pytest.raises(DataError, match="no cases"):
        cases(kind=[])


def test_no_letter_is_right_more_often_than_chance_allows():
    letters = Counter(one.reference for seed in range(20) for one in cases(kind="choice", seed=seed))
    total = sum(letters.values())
    assert set(letters) == set("ABCD")
    assert all(abs(count / total - 0.25) < 0.05 for count in letters.values())
