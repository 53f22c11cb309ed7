import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Status
from lydite_legal import quotes
from lydite_legal.quoted import quotes_in

SOURCE = (
    "A late acceptance forms no contract, unless the offeror says at once that it will do. "
    "The offeree bears the risk of delay in the post."
)
WORDS = SOURCE.replace(",", "").replace(".", "").split()


def outcome(answer: str, **options: Any) -> tuple[float | None, str]:
    verdict = quotes(answer, SOURCE, **options)
    return verdict.score, verdict.reason


@pytest.mark.parametrize(
    "quotation",
    [
        '"A late acceptance forms no contract"',
        "\u201ca late acceptance forms no contract\u201d",
        "\u201ea late acceptance forms no contract\u201c",
        "\u00aba late acceptance forms no contract\u00bb",
        "'a late acceptance forms no contract'",
        "\u2018a late acceptance forms no contract\u2019",
        '"a late acceptance forms no contract unless the offeror says at once"',
        '"A LATE  acceptance\nforms no contract"',
        '"a late acceptance forms no contract ... unless the offeror says"',
        '"The offeree bears the risk . . . in the post"',
        '"a late acceptance forms no contract [\u2026] bears the risk of delay"',
        '"[t]he offeree bears the risk of delay"',
        '"[she] bears the risk of delay"',
        '"the offeree bears [all] the risk of delay"',
        '"the offeree bears the risk of delay [sic]"',
        "> The offeree bears the risk\n> of delay in the post.\n",
    ],
)
def test_true_quotations(quotation: str) -> None:
    assert outcome(f"It says:\n{quotation}") == (1.0, "quotes.found")


@pytest.mark.parametrize(
    "quotation",
    [
        '"a late acceptance forms a contract"',
        '"an early acceptance forms no contract"',
        '"the offeror bears the risk of delay"',
        '"a late acceptance forms ... contract unless the offeror says"',
        '"a late acceptance forms no contract ... at once that it will do"',  # leaves out an "unless"
        '"the offeree [never] bears the risk of delay"',
        '"the risk of delay ... a late acceptance forms no contract"',
        '"a ... late ... acceptance ... contract"',
        '"the offeree [who was late and knew it] the post"',
        '"the moon is made of cheese"',
        '"..........."  and "a b c d"',
    ],
)
def test_altered_quotations(quotation: str) -> None:
    assert outcome(f"It says {quotation}.") == (0.0, "quote.altered")


def test_what_is_no_quotation() -> None:
    assert outcome("No contract.") == (0.0, "quotes.none")
    assert outcome('The "offeree" bears it.') == (0.0, "quotes.none")
    assert outcome("It doesn't matter what the offeror's post did; 'twas late.") == (0.0, "quotes.none")
    assert outcome('A 12" pipe and a 6" pipe, both long and heavy.') == (0.0, "quotes.none")
    assert outcome('It says "the offeree bears the risk of delay') == (0.0, "quote.unclosed")
    assert outcome("No.", when_none="pass") == (1.0, "quotes.none")
    assert quotes("No.", SOURCE, when_none="abstain").status is Status.ABSTAIN
    assert outcome("<think>'a late acceptance forms no contract'</think>No.") == (0.0, "quotes.none")
    assert outcome("x" * 30_000) == (0.0, "text.long")
    assert outcome(SOURCE) == (0.0, "answer.copied")


def test_options() -> None:
    half = '"a late acceptance forms no contract" and "the moon is made of cheese"'
    assert outcome(half) == (0.5, "quote.altered")
    assert outcome('"a late acceptance forms no contract"', at_least=2) == (0.5, "quotes.few")
    misprint = '"the offeree bears the risk of delay in teh post"'
    assert outcome(misprint) == (0.0, "quote.altered")
    assert outcome(misprint, threshold=90.0) == (1.0, "quotes.found")
    assert outcome('It bears "the risk".', min_words=2) == (1.0, "quotes.found")
    assert quotes('"good faith governs all"', "Explain.", ["Good faith governs all contracts."]).passed
    assert quotes('"good faith governs all"', "Explain.", "Good faith governs all contracts.").passed
    nothing = quotes('"good faith governs all"', "...")
    assert (nothing.status, nothing.scope) == (Status.ABSTAIN, "prompt")


@given(st.integers(0, len(WORDS) - 4), st.integers(4, 12))
def test_every_run_of_the_source_is_a_true_quotation(start: int, length: int) -> None:
    run = WORDS[start : start + length]
    assert outcome(f'It says "{" ".join(run)}" there.')[0] == 1.0
    altered = [*run[:2], "zebra", *run[2:]]
    assert outcome(f'It says "{" ".join(altered)}" there.')[0] == 0.0


@given(st.text(alphabet="\"'\u201c\u201d\u2018\u2019> ab\n", max_size=200))
def test_reading_quotations_ends(text: str) -> None:
    assert sum(len(one.text) for one in quotes_in(text)) <= 2 * len(text)


@pytest.mark.parametrize("piece", ["'a ", "\u2018a ", '"a b" ', "\u201ca ", "> a\n", '"', "'a b' "])
def test_reading_quotations_takes_time_in_proportion(piece: str) -> None:
    began = time.perf_counter()
    quotes(piece * (20_000 // len(piece)), SOURCE)
    assert time.perf_counter() - began < 2.0  # a tenth of that; what looked again and again took ten seconds
