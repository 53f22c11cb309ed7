"""What a re-scoring finds, against figures worked out by hand and against a run of lydite itself."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.config import RunConfig
from lydite.errors import ConfigError, DataError, RewardError
from lydite.objective.advantages import total_advantages
from lydite.plugins import Plugins
from lydite.records import completion_records
from lydite.rescore import open_saved, read_golds, rescore
from lydite.rescore.spool import Spool
from lydite.rescore.tally import Moments

Score = Callable[..., Any]
Write = Callable[..., Path]
Row = Callable[..., dict[str, Any]]
StackOf = Callable[..., RunConfig]


def test_before_and_after(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    """By length, what was right loses and what was wrong wins, in one of two groups."""
    rows = [
        row("4", reward=1.0, reference="4"), row("four", reward=0.0, reference="4"),
        row("5555", "q", reward=1.0, reference="5555"), row("6", "q", reward=0.0, reference="5555"),
    ]  # fmt: skip
    found, records = score(write(rows), stack_of("length"))
    assert (found["rows"], found["groups"], found["verdicts"]) == (4, 2, 4)
    assert found["reward"]["before"] == {"n": 4, "mean": 0.5, "std": pytest.approx(0.57735)}
    assert found["reward"]["after"]["mean"] == 2.5
    assert found["reward"]["changed"] == 3
    assert found["reward"]["correlation"] == 0.0
    assert found["order"] == {"pairs": 2, "same": 1, "swapped": 1, "told apart": 0, "now equal": 0}
    advantages = found["advantages"]
    assert advantages["signs"] == {"+ to +": 1, "+ to -": 1, "- to +": 1, "- to -": 1}
    assert (advantages["completions_flipped"], advantages["groups_flipped"], advantages["groups_compared"]) == (2, 1, 2)
    (group,) = advantages["groups"]
    assert (group["sample"], group["flipped"], group["rewards"]) == ("p", 2, [[1.0, 1.0], [0.0, 4.0]])
    assert [number for number, _ in records] == [0, 1, 2, 3]
    assert records[1][1]["before"] == {"reward": 0.0, "advantage": pytest.approx(-0.707, abs=1e-3), "values": {}}
    assert records[1][1]["rewards"]["length"]["value"] == 4.0


def test_ties_are_no_swaps_and_a_zero_is_no_flip(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    """By length: a and b become equal, c and d are told apart, and a group that was level is not any more."""
    rows = [
        row("a", reward=1.0), row("b", reward=0.0),
        row("c", "q", reward=1.0), row("dd", "q", reward=1.0), row("eee", "q", reward=2.0),
        row("f", "r", reward=1.0), row("gg", "r", reward=1.0),
    ]  # fmt: skip
    found, _ = score(write(rows), stack_of("length"))
    assert found["order"] == {"pairs": 5, "same": 2, "swapped": 0, "told apart": 2, "now equal": 1}
    advantages = found["advantages"]
    assert advantages["signs"] == {"+ to +": 1, "+ to 0": 1, "- to -": 1, "- to 0": 2, "0 to +": 1, "0 to -": 1}
    assert (advantages["completions_changed"], advantages["completions_flipped"]) == (5, 0)
    assert (advantages["groups_changed"], advantages["groups_flipped"]) == (3, 0)


def test_shares_of_rewards(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    """right varies by 1 with weight 3, length not at all: all of the variance is right's, and the size is split."""
    rewards = {"right": {"use": "right", "weight": 3.0}, "length": {"use": "length", "weight": -0.5}}
    found, _ = score(write([row("ab", reference="ab"), row("cd", reference="ab")]), stack_of(rewards=rewards))
    right, length = found["rewards"]["right"], found["rewards"]["length"]
    assert (right["mean"], right["contribution"], right["passed"]) == (0.5, 1.5, 0.5)
    assert (length["mean"], length["contribution"]) == (2.0, -1.0)
    assert (right["share"], length["share"]) == (0.6, 0.4)
    assert (right["share_of_variance"], right["share_of_variance_in_groups"]) == (1.0, 1.0)
    assert (length["share_of_variance"], length["share_of_variance_in_groups"]) == (0.0, 0.0)
    assert found["gates"] is None


def test_a_gate_takes_its_part_of_the_variance(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    rewards = {"right": {"use": "right", "gate": True, "weight": 0.0}, "length": {"use": "length"}}
    found, _ = score(write([row("abc", reference="abc"), row("cd", reference="ab")]), stack_of(rewards=rewards))
    gates = found["gates"]
    assert gates["completions"] == 1
    shares = [one["share_of_variance"] for one in found["rewards"].values()]
    assert sum(shares) + gates["share_of_variance"] == pytest.approx(1.0)
    assert gates["share_of_variance_in_groups"] == pytest.approx(2 / 3, abs=1e-6)


def test_abstentions_are_no_zeros(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    found, records = score(write([row("a", reward=1.0), row("?", reward=1.0)]), stack_of("unsure"))
    assert found["unscored"] == {"before": 0, "after": 1}
    assert found["rewards"]["unsure"]["status"]["abstain"] == 1
    assert found["rewards"]["unsure"]["mean"] == 1.0
    assert [record["reward"] for _, record in records] == [1.0, None]
    assert found["reward"]["changed"] == 1


def test_without_anything_to_compare_with(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    found, _ = score(write([row("a"), row("bb")]), stack_of("length"))
    assert found["reward"]["before"] is None
    assert found["reward"]["changed"] is None
    assert found["advantages"]["compared"] == 0


def test_rows_keep_their_numbers_when_groups_are_apart(
    score: Score, write: Write, row: Row, stack_of: StackOf, tmp_path: Path
) -> None:
    path = write([row("a", "p"), row("bb", "q"), row("ccc", "p"), row("dddd", "q")])
    found, records = score(path, stack_of("length", stack={"workers": 1}))
    assert found["regrouped"] == 2
    assert [(number, record["completion"]) for number, record in records] == [
        (0, "a"), (2, "ccc"), (1, "bb"), (3, "dddd"),
    ]  # fmt: skip
    out = tmp_path / "out" / "scored.jsonl"
    with Spool(out) as spool:
        for number, record in records:
            spool.write(number, record)
    assert [json.loads(line)["completion"] for line in out.read_text().splitlines()] == ["a", "bb", "ccc", "dddd"]


def test_a_spool_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    spool = Spool(out)
    spool.write(0, {"a": 1})
    spool.__exit__(RuntimeError, RuntimeError(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_takes_any_text(tmp_path: Path) -> None:
    texts = ["half a pair \ud83d", "a whole one \U0001f600", "line\nbreak"]
    with Spool(tmp_path / "scored.jsonl") as spool:
        for number, text in enumerate(texts):
            spool.write(number, {"text": text})
    lines = (tmp_path / "scored.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts


def test_the_answer_is_the_saved_one_unless_a_format_reads_it_anew(
    score: Score, write: Write, stack_of: StackOf
) -> None:
    from lydite.builtin import Plain

    record = {
        "step": 1, "sample": "a", "index": 0, "prompt": "p", "reference": "4", "completion": "it is 4", "tokens": 3,
        "finish_reason": "stop", "answer": "4", "reasoning": "", "format_error": None, "reward": 1.0, "advantage": 0.0,
        "rewards": {},
    }  # fmt: skip
    broken = {**record, "answer": None, "format_error": "number.missing", "completion": "4"}
    path = write([record, broken])
    found, records = score(path, stack_of("right"))
    assert [one["reward"] for _, one in records] == [1.0, 0.0]
    assert records[1][1]["rewards"]["right"]["reason"] == "format.number.missing"
    _, anew = score(path, stack_of("right"), format=Plain())
    assert [one["reward"] for _, one in anew] == [0.0, 1.0]
    assert found["reward"]["changed"] == 1


@pytest.mark.parametrize("name", ["ids", "length"])
def test_what_cannot_be_known_is_refused(name: str, score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    path = write([row("a")])
    if name == "ids":
        with pytest.raises(ConfigError, match="asks for completion_ids, and saved completions hold no tokens"):
            score(path, stack_of("ids"))
    else:
        length = {"kind": "target", "only_if": "unsure", "max_length": 9, "target": 3}
        with pytest.raises(DataError, match=r"saved.jsonl:1: \[length\] needs the completion's length"):
            score(path, stack_of("unsure", length=length))


def test_what_a_row_lacks_is_named(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    path = write([row("a", reference="a", topic="t"), row("b")])
    with pytest.raises(DataError, match=r"saved.jsonl:2: reward 'right'.*the row has none; name its key with --ref"):
        score(path, stack_of("right"))
    with pytest.raises(DataError, match=r"saved.jsonl:2: reward 'topical'.*column 'topic', and the row has no columns"):
        score(path, stack_of("topical"))
    golds = read_golds(write([{"prompt": "p", "reference": "b", "topic": "b"}], "golds.jsonl"))
    found, _ = score(path, stack_of("right", "topical"), golds=golds)
    assert found["rewards"]["topical"]["mean"] == 0.5


def test_errors_stop_it_as_they_stop_a_run(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    path = write([row("a"), row("b")])
    with pytest.raises(RewardError, match="RuntimeError: no such luck"):
        score(path, stack_of("breaks", stack={"error_window": 2}))
    found, _ = score(path, stack_of("breaks", stack={"max_error_share": 1.0}))
    assert found["rewards"]["breaks"]["status"]["error"] == 2


def test_many_steps_and_workers_keep_the_order(score: Score, write: Write, row: Row, stack_of: StackOf) -> None:
    rows = [row("x" * (1 + number % 7), f"p{number // 4}") for number in range(1000)]
    found, records = score(write(rows), stack_of("slow"))
    assert found["steps"] == math.ceil(250 / 64)
    assert [number for number, _ in records] == list(range(1000))
    assert [record["reward"] for _, record in records] == [1 + number % 7 for number in range(1000)]


def test_the_scores_of_a_run_are_found_again(plugins: Plugins, write: Write, stack_of: StackOf) -> None:
    """What a stack gave in a run, it gives from the run's file: columns, conversations and answers included."""
    from lydite.builtin import Plain
    from lydite.objective import with_advantages
    from lydite.rewards import build_stack
    from lydite.types import Generated, Prompt, Rollout, Sample

    config = stack_of("right", "topical", "asked", "length", stack={"workers": 1})
    sample = Sample("a", ({"role": "user", "content": "tea?"},), "4", {"topic": "tea", "odd": {1, 2}})
    texts = ["4", "tea", "no", "4 tea"]
    generated = tuple(Generated((1,) * len(text), text, text, "stop") for text in texts)
    stack = build_stack(config, plugins, Plain())
    scored = stack.score([Rollout(Prompt(sample, "<user>tea?", (1,)), generated)], 3)
    stack.close()
    scored = with_advantages(scored, scale="group", aggregate="sum_then_normalize")
    path = write([json.dumps(record) for record in completion_records(3, scored)])
    again: list[dict[str, Any]] = []
    found = rescore(
        open_saved(path), config, plugins, write=lambda _, record: again.append(json.loads(json.dumps(record)))
    )
    assert (found["reward"]["changed"], found["advantages"]["completions_changed"]) == (0, 0)
    assert found["reward"]["correlation"] == pytest.approx(1.0)
    first = [json.loads(line) for line in path.read_text().splitlines()]
    assert [{key: value for key, value in one.items() if key != "before"} for one in again] == first


rewards = st.lists(st.lists(st.sampled_from(["", "a", "bb", "ccc"]), min_size=1, max_size=4), min_size=1, max_size=5)


@given(texts=rewards)
def test_advantages_are_those_of_a_run(texts: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    from lydite.plugins import load_plugins

    def length(text: str) -> float:
        return float(len(text))

    import lydite

    inline = lydite.reward(isolation="inline")(length)
    rows = [
        {"prompt": f"p{number}", "completion": text, "reward": float(len(text))}
        for number, group in enumerate(texts)
        for text in group
    ]
    path = tmp_path_factory.mktemp("rows") / "saved.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RunConfig.model_validate(
        {"model": {"path": "none"}, "data": {"use": "none"}, "rewards": {"length": {"use": "length"}}}
    )
    records: list[dict[str, Any]] = []
    plugins = load_plugins(allow=()).with_functions({"length": inline})
    found = rescore(open_saved(path), config, plugins, write=lambda _, record: records.append(dict(record)))
    expected = total_advantages([[float(len(text)) for text in group] for group in texts], "group")
    assert [one["advantage"] for one in records] == [one for group in expected for one in group]
    assert found["advantages"]["completions_changed"] == 0


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=30))
def test_moments_are_those_of_the_definition(pairs: list[tuple[float, float]]) -> None:
    moments = Moments()
    for x, y in pairs:
        moments.add(x, y)
    mean_x = math.fsum(x for x, _ in pairs) / len(pairs)
    mean_y = math.fsum(y for _, y in pairs) / len(pairs)
    assert moments.mean_x == pytest.approx(mean_x, abs=1e-8)
    assert moments.sxy == pytest.approx(math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs), abs=1e-5)
