"""The process beside the program: it starts the program anew for every case, and reports what came out of it.

Run as `python THIS_FOLDER JOB REPORT FOLDER`: two open file descriptors, and the only folder that can be written to.
JOB holds one line of JSON (see `session`) and behind it the cases, each read when its turn comes. To REPORT go frames:
a line of JSON with the job's nonce, and as many bytes as it says. The first says that the driver is ready.

Nothing in here knows what a case should give. The program runs in a fork of this process, without the descriptor of
the report, and what it does to the modules of its own process stays there.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # typing takes long to import
if TYPE_CHECKING:
    from typing import Any

    from lydite_code.inside import child, confine, descriptors
else:
    import child
    import confine
    import descriptors

BLOCK = 65536
"""Bytes that are read at once."""
NOTE = 1024
"""Bytes of a note from a script, which says how it ended."""


def main() -> None:
    """Runs the job's cases in order, and stops early when a program left files behind."""
    job_fd, report_fd, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    confine.die_with_parent()
    confine.hide()
    head, job = _head(job_fd)
    _report(report_fd, job, {"ready": True, "filter": confine.can_filter()}, b"")
    sys.path.pop(0)  # the folder of this file
    for name in ("confine", "child", "descriptors", "wire"):  # names that a program may want for modules of its own
        sys.modules.pop(name, None)
    sys.argv[:] = ["program.py"]
    gc.freeze()
    for index, (offset, length) in enumerate(job["cases"]):
        case = json.loads(os.pread(job_fd, length, head + offset))
        status, payload = _run(job, case, (job_fd, report_fd))
        used = next(os.scandir(folder), None) is not None
        _report(report_fd, job, {"case": index, "status": status, "used": used}, payload)
        if used:
            return


def _head(job_fd: int) -> tuple[int, dict[str, Any]]:
    """The length of the job's first line, and what it says."""
    found = b""
    while b"\n" not in found:
        block = os.pread(job_fd, BLOCK, len(found))
        if not block:
            raise EOFError("the job has no first line")
        found += block
    line = found[: found.index(b"\n") + 1]
    return len(line), json.loads(line)


def _report(report_fd: int, job: dict[str, Any], what: dict[str, Any], payload: bytes) -> None:
    line = json.dumps({"nonce": job["nonce"], **what, "length": len(payload)}).encode() + b"\n"
    descriptors.write_all(report_fd, line + payload)


def _run(job: dict[str, Any], case: dict[str, Any], private: tuple[int, ...]) -> tuple[str, bytes]:
    """How a run of the program for one case ended, and its value, its output or a word more about it."""
    script = job["kind"] == "script"
    note_in, note_out = os.pipe()
    out_in, out_out = os.pipe()
    token = os.urandom(16).hex().encode()
    driver = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in (*private, note_in, out_in):
                os.close(fd)
            child.become_program(job, case, token, note_out, out_out, driver)
        finally:
            os._exit(70)
    os.close(note_out)
    os.close(out_out)
    deadline = time.monotonic() + job["seconds"]
    said, full = _read({note_in: NOTE if script else job["output"] + NOTE, out_in: job["output"]}, deadline)
    code = None if full else _ending(pid, deadline)
    if code is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    note, output = bytes(said[note_in]), bytes(said[out_in])
    os.close(note_in)
    os.close(out_in)
    if code is None:
        return "output" if full else "timeout", b""
    word, _, rest = note[len(token) :].partition(b"\n") if note.startswith(token) else (b"", b"", b"")
    status = word.decode("ascii", "replace")
    if code < 0:
        return "timeout" if code == -signal.SIGXCPU else "crashed", str(-code).encode()
    if script and code == 0 and status in ("", "done"):  # a script may leave by os._exit(0) once all is printed
        return "done", output
    return (status, rest) if status in child.STATUSES and status != "done" else ("exited", str(code).encode())


def _read(most: dict[int, int], deadline: float) -> tuple[dict[int, bytearray], bool]:
    """What comes out of the pipes until they close or the deadline, and whether one held more than its most."""
    said = {fd: bytearray() for fd in most}
    poll = select.poll()
    for fd in most:
        poll.register(fd, select.POLLIN)
    open_ones = set(most)
    while open_ones:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        for fd, _ in poll.poll(left * 1000):
            block = os.read(fd, BLOCK)
            said[fd] += block
            if len(said[fd]) > most[fd]:
                return said, True
            if not block:
                poll.unregister(fd)
                open_ones.discard(fd)
    return said, False


def _ending(pid: int, deadline: float) -> int | None:
    """The exit code of a process that closed its pipes, minus the signal that ended it, or None at the deadline."""
    pause = 0.0005
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
