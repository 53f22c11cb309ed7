"""One job in one driver process: what goes in, the frames that come out, and the deadlines.

The driver may be fooled, stopped or killed by the program beside it, so nothing here waits for it without a limit and
nothing that it says is believed beyond its being the program's word. A case without a frame is a case that failed:

    timeout   it, or all cases together, took too long       lost      the driver ended or broke off
    output    it printed or returned too much                crashed   a signal ended it
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from typing import IO, Any, Final, TypeAlias

from lydite_code.inside.descriptors import anonymous_file
from lydite_code.sandbox import CaseRun, Job, SandboxFault

START_SECONDS: Final = 8.0
"""For a sandbox to come up; it takes a fiftieth of a second on an idle machine."""
GRACE: Final = 0.5
"""Seconds beyond a case's own that the driver has to notice and say that it is over."""
LONGEST_HEAD: Final = 1024

Start: TypeAlias = Callable[[Job, int, int, IO[bytes]], "subprocess.Popen[bytes]"]
"""Starts a driver, given the descriptors of job and report and where its errors go."""


def run_job(start: Start, job: Job) -> Generator[CaseRun, None, None]:
    """A run for each case of the job, in order. See `Sandbox.run`."""
    deadline = time.monotonic() + job.total_seconds
    done = 0
    while done < len(job.cases):
        left = deadline - time.monotonic()
        if left <= 0:
            yield from [CaseRun("timeout")] * (len(job.cases) - done)
            return
        before = done
        for run in _one_driver(start, job, done, deadline):
            done += 1
            yield run
        if done == before:
            yield from [CaseRun("lost")] * (len(job.cases) - done)
            return


def _one_driver(start: Start, job: Job, first: int, deadline: float) -> Generator[CaseRun, None, None]:
    """The runs from one driver, which ends early after a case that left files behind."""
    nonce = secrets.token_hex(16)
    began = time.monotonic()
    job_fd = anonymous_file(_message(job, first, nonce))
    report_fd, write_fd = os.pipe()
    process = None
    with tempfile.TemporaryFile() as errors:
        try:
            try:
                process = start(job, job_fd, write_fd, errors)
            except OSError as error:
                raise SandboxFault(f"{type(error).__name__}: {error}") from error
            finally:
                os.close(write_fd)
            frames = _Frames(report_fd, nonce, most=job.output_kb * 1024 + LONGEST_HEAD)
            if frames.next(began + START_SECONDS) is None:
                raise SandboxFault(_complaint(process, errors, frames.broken))
            for _ in range(first, len(job.cases)):
                ends = min(deadline, time.monotonic() + job.case_seconds)
                found = frames.next(ends + GRACE)
                if found is None:
                    yield CaseRun("lost" if frames.broken else "timeout")
                    return
                head, payload = found
                yield CaseRun(str(head.get("status")), payload)
                if head.get("used"):
                    return
        finally:
            os.close(job_fd)
            os.close(report_fd)
            if process is not None:
                process.kill()
                process.wait()


def _message(job: Job, first: int, nonce: str) -> bytes:
    cases = [json.dumps(case).encode() for case in job.cases[first:]]
    places, at = [], 0
    for case in cases:
        places.append([at, len(case)])
        at += len(case)
    head = {
        "nonce": nonce,
        "program": job.program,
        "kind": job.kind,
        "seconds": job.case_seconds,
        "memory": job.memory_mb * 2**20,
        "output": job.output_kb * 1024,
        "file_bytes": job.scratch_mb * 2**20,
        "cases": places,
    }
    return b"".join([json.dumps(head).encode(), b"\n", *cases])


class _Frames:
    """Frames out of a pipe: a line of JSON with the nonce, and as many bytes as it says."""

    def __init__(self, fd: int, nonce: str, *, most: int) -> None:
        self._fd = fd
        self._nonce = nonce
        self._most = most
        self._held = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self.broken = ""
        """Why there will be no more frames, where it is not for the time."""

    def next(self, deadline: float) -> tuple[dict[str, Any], bytes] | None:
        """The head of the next frame and its bytes, or None at the deadline and where there are no more."""
        while not self.broken:
            frame = self._taken()
            if frame is not None:
                return frame
            left = deadline - time.monotonic()
            if self.broken or left <= 0:
                return None
            if self._poll.poll(max(left * 1000, 1)):
                block = os.read(self._fd, 65536)
                self._held += block
                if not block:
                    self.broken = "the driver ended"
        return None

    def _taken(self) -> tuple[dict[str, Any], bytes] | None:
        end = self._held.find(b"\n", 0, LONGEST_HEAD)
        if end < 0:
            if len(self._held) > LONGEST_HEAD:
                self.broken = "a frame without a head"
            return None
        try:
            head = json.loads(self._held[:end])
            size = head["length"] if head["nonce"] == self._nonce else -1
        except (ValueError, TypeError, KeyError, RecursionError):
            size = -1
        if not isinstance(size, int) or not 0 <= size <= self._most:
            self.broken = "a frame that the driver did not write"
            return None
        if len(self._held) < end + 1 + size:
            return None
        payload = bytes(self._held[end + 1 : end + 1 + size])
        del self._held[: end + 1 + size]
        return head, payload


def _complaint(process: subprocess.Popen[bytes], errors: IO[bytes], broken: str) -> str:
    """What a driver that did not come up has left: its exit code and the end of what it printed."""
    if not broken:
        return f"it did not start within {START_SECONDS:g} s"
    process.kill()
    code = process.wait()
    errors.seek(0)
    said = errors.read()[-600:].decode("utf-8", "replace").strip()
    return f"it ended with code {code}" + (f": {said}" if said else "")
