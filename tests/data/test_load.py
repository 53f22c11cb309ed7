"""Reading a run's samples: what is refused, how far a source is read, and what is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lydite import DataError, LyditeError, Sample
from lydite.data import Data
from lydite.errors import ConfigError, UnknownNameError

Load = Callable[..., Data]


def questions(count: int) -> list[Sample]:
    return [Sample(f"q{number}", f"What is {number}?", number) for number in range(count)]


def ids(samples: tuple[Sample, ...]) -> list[str]:
    return [one.id for one in samples]


def test_without_evaluation_every_sample_is_trained_on_in_its_order(load: Load) -> None:
    data = load(lambda: questions(10))
    assert ids(data.train) == [f"q{number}" for number in range(10)]
    assert (data.heldout, data.skipped) == ((), ())


def test_held_out_samples_are_drawn_by_the_seed_and_never_trained_on(load: Load) -> None:
    data = load(lambda: questions(50), n=10)
    assert len(data.heldout) == 10
    assert not set(ids(data.heldout)) & set(ids(data.train))
    assert len(data.train) == 40
    assert data == load(lambda: questions(50), n=10)
    assert data.heldout != load(lambda: questions(50), n=10, seed=7).heldout
    assert ids(data.heldout) != ids(tuple(questions(10)))  # drawn, not the first ones


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from(["a", "A ", "b", "b\n", "c", "d", "e"]), min_size=6, max_size=30),
    seed=st.integers(0, 99),
)
def test_no_prompt_is_both_held_out_and_trained_on(load: Load, words: list[str], seed: int) -> None:
    def source() -> list[Sample]:
        return [Sample(str(number), word) for number, word in enumerate(words)]

    def asked(samples: tuple[Sample, ...]) -> list[str]:
        return [str(one.prompt).strip().casefold() for one in samples]

    different = {word.strip().casefold() for word in words}
    if len(different) < 3:
        with pytest.raises(DataError, match=r"eval\.n = 2"):
            load(source, n=2, seed=seed)
        return
    data = load(source, n=2, seed=seed)
    assert len(set(asked(data.heldout))) == 2
    assert not set(asked(data.heldout)) & set(asked(data.train))
    # Nothing gets lost: a sample is trained on, held out, or listed.
    assert len(data.train) + len(data.heldout) + len(data.skipped) == len(words)
    assert all("asks the same as the held-out sample" in one.reason for one in data.skipped)


def test_messages_and_text_that_ask_the_same_do_not_part_ways(load: Load) -> None:
    def source() -> list[Sample]:
        chat = Sample("chat", ({"role": "user", "content": "Hello  you"},))
        return [chat, Sample("text", "hello you"), *questions(2)]

    for seed in range(20):
        data = load(source, n=1, seed=seed)
        kept = set(ids(data.train))
        assert kept == {"q0", "q1"} or {"chat", "text"} <= kept


def test_held_out_data_of_its_own(load: Load) -> None:
    def heldout() -> list[Sample]:
        return [Sample("h0", "What is 3?"), Sample("h1", "And now?"), Sample("h2", "AND  now?"), Sample("h3", "So?")]

    data = load(lambda: questions(5), heldout=heldout, n=3, eval_data={"use": "fake-heldout"})
    assert [str(one.prompt).casefold().split() for one in data.heldout] == [
        ["what", "is", "3?"],
        ["and", "now?"],
        ["so?"],
    ]
    assert ids(data.train) == ["q0", "q1", "q2", "q4"]
    assert [(one.id, "'h0'" in one.reason) for one in data.skipped] == [("q3", True)]
    with pytest.raises(DataError, match=r"eval\.n = 4 .* has 3; lower eval\.n"):
        load(lambda: questions(5), heldout=heldout, n=4, eval_data={"use": "fake-heldout"})


def test_without_shuffle_held_out_data_of_its_own_is_taken_from_its_start(load: Load) -> None:
    chosen = {"use": "fake-heldout", "shuffle": False}
    data = load(lambda: questions(5), heldout=lambda: questions(90)[50:], n=3, eval_data=chosen)
    assert ids(data.heldout) == ["q50", "q51", "q52"]


def endless(asked: list[int]) -> Callable[[], Iterator[Sample]]:
    def source() -> Iterator[Sample]:
        number = 0
        while True:
            asked.append(number)
            yield Sample(f"q{number}", f"What is {number}?")
            number += 1

    return source


def test_an_endless_source_is_read_as_far_as_the_run_can_use_it(load: Load) -> None:
    asked: list[int] = []
    data = load(endless(asked), max_steps=50, prompts_per_step=8, n=20)
    assert len(asked) == 420 + 420 // 4  # steps and evaluation, and a quarter to spare
    assert len(data.train) + len(data.heldout) == len(asked)
    asked.clear()
    load(endless(asked), max_steps=1)
    assert len(asked) == 1 + 64


def test_a_limit_says_how_far_any_source_is_read(load: Load) -> None:
    asked: list[int] = []
    data = load(endless(asked), n=3, data={"limit": 10})
    assert (len(asked), len(data.train), len(data.heldout)) == (10, 7, 3)
    assert len(load(lambda: questions(50), data={"limit": 10}).train) == 10


def test_a_list_is_read_whole_so_that_a_shuffle_reaches_its_end(load: Load) -> None:
    assert len(load(lambda: questions(5000), max_steps=1).train) == 5000


class Hinted:
    """A table on disk: read one by one, and it says about how long it is."""

    def __iter__(self) -> Iterator[Sample]:
        return iter(questions(3000))

    def __length_hint__(self) -> int:
        return 10


def test_a_source_with_a_length_hint_is_read_whole_however_wrong_the_hint(load: Load) -> None:
    assert len(load(Hinted, max_steps=1).train) == 3000


def bad(*samples: Any) -> Callable[[], list[Any]]:
    return lambda: [Sample("ok", "Fine?"), *samples]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (list, r"data \('fake' of lydite-fake 9\.9\) is empty"),
        (bad(Sample("ok", "Again?")), r"samples 0 and 1 have the same id 'ok'"),
        (bad({"prompt": "x"}), r"sample 1: expected a lydite\.Sample, got dict"),
        (bad(Sample(7, "x")), r"sample 1: its id must be text"),  # type: ignore[arg-type]
        (bad(Sample("a", " ")), r"sample 1: its prompt is empty"),
        (bad(Sample("a", ())), r"sample 1: its prompt must be text, or a tuple"),
        (bad(Sample("a", ({"role": "user"},))), r"its prompt must be text, or a tuple"),  # type: ignore[typeddict-item]
        (bad(Sample("a", "x", {1, 2})), r"its reference cannot be written as JSON"),
        (bad(Sample("a", "x", float("nan"))), r"its reference cannot be written as JSON"),
        (lambda: 7, r"must give an iterable of samples, got int"),
        (lambda: iter([1 // 0]), r"broke after 0 samples: ZeroDivisionError"),
        (lambda: (1 // 0 if number else Sample("a", "x") for number in range(2)), r"broke after 1 samples"),
    ],
)
def test_broken_data_is_named(load: Load, source: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(source)


def test_too_few_samples_are_refused_with_what_to_do(load: Load) -> None:
    with pytest.raises(DataError, match=r"a step asks 4 different prompts, and data .* has 3"):
        load(lambda: questions(3), prompts_per_step=4)
    with pytest.raises(DataError, match=r"eval\.n = 3 samples .* out of the 3 .*lower eval\.n"):
        load(lambda: questions(3), n=3)
    with pytest.raises(DataError, match=r"has 3 to train on \(10 were read\)"):
        load(lambda: questions(10), n=7, prompts_per_step=4)
    assert len(load(lambda: questions(4), prompts_per_step=4).train) == 4


def test_names_and_options_are_checked_before_anything_is_read(load: Load) -> None:
    def source(*, size: int = 1) -> list[Sample]:
        raise AssertionError("nothing may be read")

    with pytest.raises(UnknownNameError, match="did you mean 'fake'"):
        load(source, data={"use": "fak"})
    with pytest.raises(ConfigError, match=r"data set 'fake' has no option 'siz'; did you mean 'size'"):
        load(source, data={"options": {"siz": 2}})
    with pytest.raises(ConfigError, match="must be int"):
        load(source, data={"options": {"size": "many"}})


def test_options_reach_the_source(load: Load) -> None:
    assert len(load(lambda *, size: questions(size), data={"options": {"size": 5}}).train) == 5


def test_an_error_of_the_source_that_lydite_knows_is_passed_on_as_it_is(load: Load) -> None:
    def source() -> list[Sample]:
        raise DataError("data.jsonl:3: expected a JSON object")

    with pytest.raises(LyditeError, match=r"^data\.jsonl:3: expected a JSON object$"):
        load(source)
