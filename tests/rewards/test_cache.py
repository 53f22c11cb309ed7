"""Keys that are equal exactly when the question is, and a cache that keeps only what may be kept."""

from __future__ import annotations

from lydite.rewards.cache import VerdictCache, key_of
from lydite.types import Completion, Parsed, Sample, Verdict


def completion(text: str, index: int = 0, tokens: int = 3) -> Completion:
    return Completion(text, Parsed(text), tokens=tokens, index=index)


def test_equal_completions_have_one_key_wherever_they_stand() -> None:
    keys = {key_of("v", arguments={"completion": completion("a", index)}) for index in range(3)}
    assert len(keys) == 1
    assert None not in keys


def test_anything_a_verifier_can_see_makes_another_key() -> None:
    sample = Sample("s", "p", 1, {"level": 2})
    seen = [
        key_of("v", "1", {"o": 1}, arguments={"text": "a"}),
        key_of("w", "1", {"o": 1}, arguments={"text": "a"}),
        key_of("v", "2", {"o": 1}, arguments={"text": "a"}),
        key_of("v", "1", {"o": 2}, arguments={"text": "a"}),
        key_of("v", "1", {"o": 1}, arguments={"text": "b"}),
        key_of("v", "1", {"o": 1}, arguments={"text": "a", "reference": 1}),
        key_of("v", "1", {"o": 1}, arguments={"text": "a", "reference": True}),
        key_of("v", "1", {"o": 1}, arguments={"text": "a", "reference": "1"}),
        key_of("v", arguments={"completion": completion("a")}),
        key_of("v", arguments={"completion": completion("a", tokens=4)}),
        key_of("v", arguments={"sample": sample}),
        key_of("v", arguments={"sample": Sample("s", "p", 1, {"level": 3})}),
    ]
    assert len(set(seen)) == len(seen)


def test_what_has_no_reliable_text_has_no_key() -> None:
    assert key_of("v", arguments={"thing": object()}) is None
    assert key_of("v", arguments={"thing": {1: "a", "b": 2}}) is None


def test_only_ok_verdicts_are_kept() -> None:
    cache = VerdictCache(10)
    for key, verdict in {"e": Verdict.error("x"), "t": Verdict.timeout(), "a": Verdict.abstain("x")}.items():
        cache.put(key, (verdict,))
        assert cache.get(key) is None
    cache.put("mixed", (Verdict(1.0), Verdict.timeout()))
    assert cache.get("mixed") is None
    cache.put("ok", (Verdict(1.0),))
    assert cache.get("ok") == (Verdict(1.0),)


def test_the_least_recently_used_goes_first() -> None:
    cache = VerdictCache(2)
    cache.put("a", (Verdict(1.0),))
    cache.put("b", (Verdict(2.0),))
    cache.get("a")
    cache.put("c", (Verdict(3.0),))
    assert [key for key in "abc" if cache.get(key)] == ["a", "c"]
    nothing = VerdictCache(0)
    nothing.put("a", (Verdict(1.0),))
    assert len(nothing) == 0
