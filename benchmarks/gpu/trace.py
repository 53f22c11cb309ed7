"""What GPU and host did in a part of a step: torch's profiler, read into a text for people.

The questions that it answers: for how much of the time was the GPU at work, on what, and what was the host at while it
was not. A part that is traced takes longer than one that is not, so figures of time come from other steps.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.meter import now
from benchmarks.gpu.results import Writer

LISTED: Final = 30
"""Rows of a table."""
WIDTH: Final = 140
"""Characters of a name: what tells kernels apart is far behind in the names that C++ gives them."""
TOKENS: Final = 64
"""Decode steps of a batch that are traced: they are alike, and a trace of all takes minutes to read."""
PAUSE: Final = 0.002
"""Seconds for which the GPU has nothing to do before it is told."""
_DRIVER: Final = re.compile(r"cuda[A-Z]|cu[A-Z]")
_MEMORY: Final = re.compile(r"cuda(Malloc|Free)|cuMem(Create|Map|Unmap|Release|SetAccess)")
_LAUNCHES: Final = re.compile(r"cu(da)?(Graph)?Launch(?!Host)")
_PART: Final = "the traced part"
"""Its event among those of the trace: from where to where it goes, by the trace's own clock."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that took time, in seconds from the beginning of the traced part."""

    name: str
    begin: float
    seconds: float
    thread: int | None
    """Of the host that did it; None: the GPU did."""

    @property
    def end(self) -> float:
        """When it was over."""
        return self.begin + self.seconds


@dataclass(frozen=True, slots=True)
class Row:
    """All events of one name."""

    name: str
    count: int
    seconds: float


def work(events: Iterable[Event]) -> list[tuple[float, float]]:
    """When the GPU was at work: beginning and end of each stretch without a pause, in order."""
    stretches: list[tuple[float, float]] = []
    for one in sorted((one for one in events if one.thread is None), key=lambda one: one.begin):
        if stretches and one.begin <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(stretches[-1][1], one.end))
        else:
            stretches.append((one.begin, one.end))
    return stretches


def pauses(stretches: Sequence[tuple[float, float]], wall: float) -> list[tuple[float, float]]:
    """Beginning and seconds of each of the GPU's pauses of at least `PAUSE`, the longest first."""
    ends = [0.0, *(end for _, end in stretches)]
    begins = [*(begin for begin, _ in stretches), wall]
    found = [(end, begin - end) for end, begin in zip(ends, begins, strict=True) if begin - end >= PAUSE]
    return sorted(found, key=lambda one: -one[1])


def in_all(events: Iterable[Event]) -> list[Row]:
    """Count and seconds of each name, most seconds first."""
    counts: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    for one in events:
        counts[one.name] += 1
        seconds[one.name] += one.seconds
    return sorted((Row(name, counts[name], seconds[name]) for name in counts), key=lambda row: -row.seconds)


def alone(events: Iterable[Event]) -> list[Event]:
    """The host's events, each without the time of those that it called."""
    threads: dict[int, list[Event]] = defaultdict(list)
    for one in events:
        if one.thread is not None:
            threads[one.thread].append(one)
    left: list[Event] = []
    for own in threads.values():
        open_ones: list[tuple[Event, list[float]]] = []  # each with the seconds of what it called

        def close(until: float, open_ones: list[tuple[Event, list[float]]] = open_ones) -> None:
            while open_ones and open_ones[-1][0].end <= until:
                event, called = open_ones.pop()
                left.append(Event(event.name, event.begin, max(0.0, event.seconds - sum(called)), event.thread))

        for one in sorted(own, key=lambda one: (one.begin, -one.seconds)):
            close(one.begin)
            if open_ones:
                open_ones[-1][1].append(one.seconds)
            open_ones.append((one, []))
        close(float("inf"))
    return left


def meanwhile(events: Iterable[Event], begin: float, seconds: float) -> str:
    """The innermost of the host's events that took at least half of that time.

    Without one it was Python itself, or what torch does not see, and beside it the event that took most of the time.
    """

    def shared(one: Event) -> float:
        return min(one.end, begin + seconds) - max(one.begin, begin)

    beside = [one for one in events if one.thread is not None and shared(one) > 0]
    around = [one for one in beside if shared(one) >= seconds / 2]
    if around:
        return min(around, key=lambda one: one.seconds).name
    longest = max(beside, key=shared, default=None)
    return "Python" if longest is None else f"Python, and for {shared(longest) * 1e3:.1f} ms {longest.name}"


def describe(title: str, events: Sequence[Event], wall: float) -> str:
    """The trace as a text."""
    gpu, host = [one for one in events if one.thread is None], [one for one in events if one.thread is not None]
    own = _table("on the host, without what each called", in_all(alone(host)))
    if not gpu:
        return "\n".join([f"{title}: {wall:.3f} s, traced", "no kernel or copy of a GPU was recorded", *own]) + "\n"
    stretches = work(events)
    busy = sum(end - begin for begin, end in stretches)
    waits = pauses(stretches, wall)
    share = f"{busy:.3f} s, {100 * busy / wall:.0f} %"
    lines = [
        f"{title}: {wall:.3f} s, traced",
        f"the GPU was at work for {share}, on {len(gpu)} kernels and copies, and idle for {wall - busy:.3f} s",
        f"it paused for {PAUSE * 1e3:g} ms or longer {len(waits)} times, {sum(one for _, one in waits):.3f} s in all",
        *_table("calls of the driver", in_all(one for one in host if _DRIVER.match(one.name))),
        *_table("on the GPU", in_all(gpu)),
        *own,
        "",
        "the GPU's longest pauses: when, how long, and what the host was at",
        *(
            f"  {begin * 1e3:10.1f} ms {seconds * 1e3:8.1f} ms  {meanwhile(host, begin, seconds)[:WIDTH]}"
            for begin, seconds in waits[:LISTED]
        ),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, rows: Sequence[Row]) -> list[str]:
    head = ["", f"{title}: seconds, times, microseconds each"]
    shown = [
        f"  {row.seconds:9.4f} {row.count:8d} {1e6 * row.seconds / row.count:10.1f}  {row.name[:WIDTH]}"
        for row in rows[:LISTED]
    ]
    return head + (shown or ["  none"])


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option by which lydite's arms are traced."""
    parser.add_argument(
        "--trace", action="store_true", help="two more steps of lydite's, traced into --logs/trace-ARM-....txt"
    )


def trace_update(step: int, file: Path, writer: Writer) -> None:
    """From now on the update of that step is traced."""
    from lydite.learner import Learner

    learn = Learner.learn

    def learned(self: Any, number: int, *given: Any) -> Any:
        if number != step:
            return learn(self, number, *given)
        with traced("update", file, writer):
            return learn(self, number, *given)

    Learner.learn = learned  # type: ignore[method-assign, assignment]


def trace_generation(engine: Any, step: int, sequences: int, file: Path, writer: Writer) -> None:
    """From now on that step's batch is traced until `TOKENS` are decoded of each of so many sequences.

    Engines that cannot be asked for a token at a time are traced to the batch's end.
    """
    generate, steps = engine.generate, 0

    def generated(prompts: Any, sampling: Any, seed: int) -> Any:
        nonlocal steps
        steps += len(prompts) * sampling.num_generations == sequences  # a sentinel's question is smaller
        if steps != step:
            return generate(prompts, sampling, seed)
        by_token = hasattr(engine, "_llm")
        with ExitStack() as open_trace:
            extent = f"up to the engine's step {TOKENS}" if by_token else "the whole batch"
            open_trace.enter_context(traced("generation", file, writer, extent=extent))
            if by_token:
                _after(engine._llm.llm_engine, TOKENS, open_trace.close)
            return generate(prompts, sampling, seed)

    engine.generate = generated


def _after(steps: Any, count: int, then: Callable[[], None]) -> None:
    """Has it called once `steps.step` has been called so often."""
    step, done = steps.step, 0

    def stepped() -> Any:
        nonlocal done
        made = step()
        done += 1
        if done == count:
            steps.step = step
            then()
        return made

    steps.step = stepped


@contextmanager
def traced(title: str, file: Path, writer: Writer, *, extent: str = "all of it") -> Iterator[None]:
    """Traces what is done inside, and writes the text to the file and a few figures to the results."""
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function

    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
    begun = now()
    with profile(activities=kinds) as profiler:
        now()
        with record_function(_PART):
            yield
            now()
    events, wall = of_part(profiler.profiler.kineto_results.events())
    file.write_text(describe(f"{title}, {extent}", events, wall))
    busy = sum(end - begin for begin, end in work(events))
    host = [one.name for one in events if one.thread is not None]
    for what, unit, value in (
        ("seconds", "s", wall),
        ("GPU at work", "s", busy),
        ("launches", "times", sum(bool(_LAUNCHES.match(name)) for name in host)),
        ("memory asked of the driver or given back", "times", sum(bool(_MEMORY.match(name)) for name in host)),
    ):
        writer.figure(f"traced {title}, {what}", unit, [float(value)], tracing=round(now() - begun, 1))


def of_part(recorded: Sequence[Any]) -> tuple[list[Event], float]:
    """What torch recorded of the traced part, and the part's seconds.

    What the profiler itself asks of the driver before and behind it does not count. Nor does what torch tells of the
    GPU for a stretch of the host's work that has a name, such as an optimiser's step: it is told as if the GPU had
    been at work from the first kernel of it to the last.
    """
    import torch

    gpu = torch.autograd.DeviceType.CUDA
    whole = next(one for one in recorded if one.name() == _PART and one.device_type() != gpu)
    first, wall = whole.start_ns(), whole.duration_ns() / 1e9
    events = [
        Event(
            one.name(),
            (one.start_ns() - first) / 1e9,
            one.duration_ns() / 1e9,
            None if one.device_type() == gpu else one.start_thread_id(),
        )
        for one in recorded
        if one.name() != _PART and not (one.device_type() == gpu and one.is_user_annotation())
    ]
    return [one for one in events if one.end > 0 and one.begin < wall], wall
