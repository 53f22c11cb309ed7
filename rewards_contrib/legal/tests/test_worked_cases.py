from collections import Counter
from typing import Any

import pytest

from lydite import DataError, Sample
from lydite_legal import authorities, citation, deadline, guarantees, holding, irac, quotes, worked_cases

ALL = worked_cases()
COUNTED = ("start", "days", "months", "counting", "holidays", "roll")


def gold(sample: Sample) -> str:
    return f"Answer: {sample.reference}\nAuthority: {sample.columns['authorities'][0]}; {sample.columns['why']}."


def of_kind(sample: Sample, answer: str, reference: Any) -> bool | None:
    if sample.columns["kind"] == "holding":
        return holding(answer, reference).passed
    return deadline(answer, reference, *(sample.columns[name] for name in COUNTED)).passed


def test_there_are_enough_and_they_are_balanced() -> None:
    kinds = Counter(one.columns["kind"] for one in ALL)
    assert kinds == {"holding": 132, "deadline": 36}
    areas = Counter(one.columns["area"] for one in ALL if one.columns["kind"] == "holding")
    assert set(areas) == {"contract", "tort", "procedure", "consumer", "employment", "data protection"}
    for split in ("train", "test"):
        assert {*Counter(one.reference for one in worked_cases(kind="holding", split=split)).values()} == {  # type: ignore[arg-type]
            len(worked_cases(kind="holding", split=split)) // 2  # type: ignore[arg-type]
        }
    assert len({one.id for one in ALL}) == len({one.prompt for one in ALL}) == len(ALL)


def test_the_test_cases_turn_on_rules_of_their_own() -> None:
    train = {one.columns["rule"] for one in worked_cases(split="train")}
    assert not train & {one.columns["rule"] for one in worked_cases(split="test")}


@pytest.mark.parametrize("sample", ALL, ids=lambda one: one.id)
def test_each_gold_answer_passes_and_its_prompt_does_not(sample: Sample) -> None:
    answer = gold(sample)
    given = sample.columns["authorities"]
    assert of_kind(sample, answer, sample.reference)
    assert authorities(answer, sample.prompt, given).passed
    assert authorities(answer, sample.prompt).passed
    assert citation("; ".join(given)).passed
    assert guarantees(answer).passed
    assert isinstance(sample.prompt, str)
    assert not of_kind(sample, sample.prompt, sample.reference)
    assert not authorities(sample.prompt, sample.prompt, given).passed
    assert len(sample.prompt.split()) < 110
    other = {"yes": "no", "no": "yes"}.get(sample.reference, "1999-01-01")
    assert not of_kind(sample, answer.replace(f"Answer: {sample.reference}", f"Answer: {other}"), sample.reference)


def test_a_memo_can_earn_all() -> None:
    sample = worked_cases(style="memo")[0]
    rule = sample.columns["rule"]
    memo = (
        f"Issue: {sample.columns['question']} That is what Orla asks.\nRule: {sample.columns['authorities'][0]} says "
        f'"{rule}".\nApplication: Finn accepted the van on Saturday, and Orla answered within minutes.\n'
        "Conclusion: There is a contract between Orla and Finn.\nAnswer: yes"
    )
    assert holding(memo, sample.reference, anchors=("answer",)).passed
    assert authorities(memo, sample.prompt, sample.columns["authorities"]).passed
    assert quotes(memo, sample.prompt, sample.columns["authorities"]).passed
    assert irac(memo, sample.prompt, sample.columns["facts"]).passed


def test_options() -> None:
    assert {one.columns["area"] for one in worked_cases(areas=["tort"])} == {"tort"}
    assert len(worked_cases(kind="deadline", split="train")) == 24
    with pytest.raises(DataError, match="no cases of the area 'torts'; did you mean 'tort'"):
        worked_cases(areas=["torts"])
    with pytest.raises(DataError, match="no case is of kind"):
        worked_cases(kind="deadline", areas=["contract"])
