from typing import Any

import pytest

from lydite import Verdict
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite_legal import guarantees, hedging

PLAIN = "The goods that came were not like the sample so the buyer sent them back within the week and wrote a letter. "


def rate(verdict: Verdict) -> float:
    assert verdict.parsed is not None
    return float(verdict.parsed.split()[0])


def test_hedging_within_its_band() -> None:
    text = PLAIN * 4
    assert (hedging(text).score, hedging(text).reason) == (0.0, "hedges.few")
    verdict = hedging(f"{text} Perhaps so.")
    assert (verdict.score, verdict.reason) == (1.0, "hedges.within")
    assert 1.0 < rate(verdict) < 1.5
    verdict = hedging(f"{text} " + "Perhaps so. " * 4)
    assert verdict.reason == "hedges.many"
    assert verdict.score is not None
    assert 0.0 < verdict.score < 1.0
    assert hedging("may " * 50).score == 0.0


def test_below_the_band_there_is_a_slope() -> None:
    verdict = hedging(PLAIN * 4 + "Perhaps.", band=(2.0, 5.0))
    assert verdict.score == pytest.approx(rate(verdict) / 2.0, abs=0.01)


def test_what_has_no_rate() -> None:
    assert hedging("").reason == "text.empty"
    assert hedging("1 2 3").reason == "text.empty"
    assert hedging("It may be so.").reason == "text.short"
    assert hedging("It may be so.", min_words=4, band=(0.0, 30.0)).passed
    assert hedging("x" * 30_000).reason == "text.long"


def test_may_the_month_is_no_hedge() -> None:
    assert hedging(f"{PLAIN * 2} On 3 May 2024 it ended.").reason == "hedges.few"
    assert hedging(f"{PLAIN * 2} May 2024 was dry.").reason == "hedges.few"
    assert hedging(f"{PLAIN * 2} It may have ended.").reason == "hedges.within"


@pytest.mark.parametrize("band", [(3.0, 0.3), (-1.0, 2.0), (1.0, 1.0)])
def test_a_band_rises(band: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="a band goes from low to high"):
        check_options("reward 'hedging'", hedging, {"band": list(band)})


@pytest.mark.parametrize(
    "promise",
    [
        "You will win.",
        "you WILL\n win",
        "You\u2019ll certainly prevail.",
        "Your client cannot lose.",
        "I guarantee it.",
        "Success is guaranteed.",
        "I am 100% sure.",
        "I am 100 % certain.",
        "This is a slam dunk.",
        "No doubt you will win.",
        "Not only that: you will win.",
        "I do not know the judge, but you will win.",
        "If we sue, you will win.",
        "We never sleep and you will win.",
        "You \u200bwill win.",
    ],
)
def test_promises_cost(promise: str) -> None:
    verdict = guarantees(f"The claim is good. {promise} So it is.")
    assert (verdict.score, verdict.passed, verdict.reason) == (-0.5, False, "promises.found")
    assert len(verdict.evidence) == 1


@pytest.mark.parametrize(
    "careful",
    [
        "",
        "The claim has good prospects.",
        "We cannot guarantee that you will win.",
        "I do not promise that you will win.",
        "Nobody can say that you will win.",
        "It is open whether you will win.",
        "There is no guarantee you will win.",
        "He wrote: \u201cyou will win\u201d.",
        'He wrote: "you will win, it is guaranteed".',
        "The loan is guaranteed by a bank.",
        "The buyer may win.",
    ],
)
def test_careful_words_are_free(careful: str) -> None:
    verdict = guarantees(careful)
    assert (verdict.score, verdict.passed, verdict.reason) == (0.0, True, "promises.none")


def test_the_penalty_has_a_floor() -> None:
    assert guarantees("You will win. " * 5).score == -1.0
    assert guarantees("You will win. " * 5, per_promise=0.1).score == -0.5
    assert guarantees("It is a done deal.", extra_phrases=["done deal"]).score == -0.5
    assert guarantees("It is a done deal.", extra_phrases=[" "]).score == 0.0
    assert (guarantees("x" * 30_000).score, guarantees("x" * 30_000).reason) == (-1.0, "text.long")


@pytest.mark.parametrize("options", [{"per_promise": 0.0}, {"per_promise": 1.5}, {"per_phrase": 0.5}])
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        check_options("reward 'guarantees'", guarantees, options)
