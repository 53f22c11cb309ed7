"""What an audit says of verifiers that are known through and through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite import ConfigError
from lydite.audit import Verifier, ask, disagreement, read_labelled, summarize
from lydite.builtin import Plain
from lydite.errors import DataError
from lydite.plugins import Plugins
from lydite.types import FormatError, Parsed


def row(pred: str, expected: bool, gold: Any = "1", **more: Any) -> dict[str, Any]:
    return {"gold": gold, "pred": pred, "expected": expected, **more}


Audit = Callable[..., dict[str, Any]]


@pytest.fixture
def audit(plugins: Plugins, write: Callable[..., Path]) -> Audit:
    def audit(name: str, rows: list[Any], *, format: Any = None, **settings: Any) -> dict[str, Any]:
        return summarize(ask(Verifier(name, **settings), read_labelled(write(rows)), plugins, format=format))

    return audit


def test_rates_counts_and_rows(audit: Audit) -> None:
    rows = [
        *[row("1", True)] * 6,
        row("one", True, category="words"),
        row(" 1", True, tags=["space", "words"]),
        *[row("2", False)] * 3,
        row("1", False, category="questionable"),
    ]
    found = audit("same", rows)
    assert (found["n"], found["positives"], found["negatives"]) == (12, 8, 4)
    assert (found["tpr"], found["fpr"], found["j"]) == (0.75, 0.25, 0.5)
    assert found["tpr_interval"][0] < 0.75 < found["tpr_interval"][1]
    assert found["j_interval"][0] < 0.5 < found["j_interval"][1]
    assert (found["abstain"], found["errors"], found["timeouts"]) == (0.0, 0, 0)
    assert [(one["line"], one["pred"], one["category"]) for one in found["false_negatives"]] == [
        (7, "one", "words"),
        (8, " 1", "space, words"),
    ]
    assert [(one["line"], one["gold"], one["pred"]) for one in found["false_positives"]] == [(12, "1", "1")]
    words = next(one for one in found["by_category"] if one["category"] == "words")
    assert (words["n"], words["tpr"], words["fpr"], words["false_negatives"]) == (2, 0.0, None, 2)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"] < 1000


def test_abstentions_count_in_no_rate_and_failures_count_as_refused(audit: Audit) -> None:
    rows = [
        row("1", True), row("abstain", True), row("raise", True), row("die", True), row("hang", True),
        row("2", False), row("abstain", False), row("hang", False), row("raise", False), row("1", False),
    ]  # fmt: skip
    found = audit("moods", rows, timeout=1.0)
    assert (found["abstained"], found["abstain"], found["errors"], found["timeouts"]) == (2, 0.2, 3, 2)
    assert found["tpr"] == 0.25, "one of the four that were judged"
    assert found["fpr"] == 0.25, "a timeout and an error pay nothing"
    assert {one["pred"] for one in found["false_negatives"]} == {"raise", "die", "hang"}
    assert [one["line"] for one in found["abstentions"]] == [2, 7]
    assert len(found["failures"]) == 5
    assert "RuntimeError: no such luck" in found["failures"][0]["detail"]
    assert found["reasons"]["deadline"] == 2
    assert found["reasons"]["equal"] == 2


def test_a_killed_worker_is_warmed_again_before_the_clock_runs(
    plugins: Plugins, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lydite.audit.ask import _Asking

    counts: list[int] = []
    running = _Asking._run
    monkeypatch.setattr(_Asking, "_run", lambda *given: counts.append(len(given[2])) or running(*given))
    ask(Verifier("moods"), read_labelled(write([row("1", True), row("die", False), row("2", False)])), plugins)
    assert counts == [1, 1, 1, 1, 1], "a warm-up, two rows, a warm-up, and the last row"


def test_options_of_the_command_and_of_a_row(audit: Audit) -> None:
    rows = [row("A", True, "a"), row("A", False, "a", options={"fold": False})]
    found = audit("same", rows, options={"fold": True})
    assert (found["tpr"], found["fpr"]) == (1.0, 0.0)
    with pytest.raises(ConfigError, match=r"has no option 'flod'; did you mean 'fold'"):
        audit("same", rows, options={"flod": True})


def test_what_a_row_lacks_is_named_before_anything_runs(audit: Audit) -> None:
    with pytest.raises(DataError, match=r"labelled.jsonl:2: reward 'of_town'.*asks for the column 'town'.*\['twon'\]"):
        audit("of_town", [row("a", True, columns={"town": "a"}), row("a", True, columns={"twon": "a"})])
    with pytest.raises(DataError, match=r"labelled.jsonl:1: reward 'same'.*the row has no 'gold'"):
        audit("same", [{"pred": "1", "expected": True}])


def test_columns_batches_and_coroutines(audit: Audit) -> None:
    assert audit("of_town", [row("a", True, columns={"town": "a"})])["tpr"] == 1.0
    assert audit("batch", [row("1", True), row("2", False)])["j"] == 1.0
    found = audit("waits", [row("1", True)] * 40)
    assert found["tpr"] == 1.0
    assert 50 <= found["p50_ms"] < 1000


class Marked:
    instructions = ""

    def parse(self, text: str) -> Parsed | FormatError:
        _, mark, after = text.partition("A:")
        return Parsed(after.strip()) if mark else FormatError("answer.missing")


def test_a_format_finds_the_answer_in_texts_and_leaves_answers_whole(audit: Audit) -> None:
    rows = [row("so A: 1", True), row("1", False), row("1", True, form="answer")]
    found = audit("same", rows, format=Marked())
    assert found["j"] == 1.0
    assert found["reasons"]["format.answer.missing"] == 1
    assert audit("same", rows)["j"] == pytest.approx(0.5 - 1.0)
    assert audit("same", [row("1", True)], format=Plain())["tpr"] == 1.0


def test_rates_of_a_class_that_is_not_there(audit: Audit) -> None:
    found = audit("same", [row("1", True)])
    assert (found["tpr"], found["fpr"], found["j"], found["j_interval"]) == (1.0, None, None, None)


def test_the_score_that_passes(audit: Audit) -> None:
    assert audit("same", [row("2", False)], pass_at=0.0)["fpr"] == 1.0


def test_where_two_verifiers_part(plugins: Plugins, write: Callable[..., Path]) -> None:
    rows = read_labelled(write([row("A", True, "a"), row("a", True, "a"), row("b", False, "a"), row("abstain", False)]))
    one = ask(Verifier("same", {"fold": True}), rows, plugins)
    two = ask(Verifier("moods"), rows, plugins)
    found = disagreement(one, two)
    assert (found["name"], found["tpr"], found["fpr"], found["differ"]) == ("moods", 0.5, 0.0, 2)
    assert {(cell["expected"], cell["first"], cell["second"]): cell["n"] for cell in found["table"]} == {
        ("pass", "pass", "fail"): 1,
        ("pass", "pass", "pass"): 1,
        ("fail", "fail", "fail"): 1,
        ("fail", "fail", "abstain"): 1,
    }
    assert [(cell["line"], cell["first"]["said"], cell["second"]["said"]) for cell in found["rows"]] == [
        (1, "pass", "fail"),
        (4, "fail", "abstain"),
    ]
