"""Programs in a plain child process with limits: it protects from crashes and accidents, not from intent.

Such a program can read every file that the user can, the data set with its expected values among them, and write
where the user can. On Linux it can start no process, signal none and open no socket.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from lydite_code.bubblewrap import ENVIRONMENT, FLAGS, INSIDE
from lydite_code.sandbox import CaseRun, Job
from lydite_code.session import run_job


class RLimits:
    """The weaker tier: an interpreter of its own, and limits on memory, time, files and calls."""

    name: Final = "rlimits"

    def problem(self) -> str:
        """Why programs cannot be run this way here."""
        return "" if os.name == "posix" else "limits on processes exist on Linux and macOS only"

    def run(self, job: Job) -> Generator[CaseRun, None, None]:
        """A run for each case, in order. See `Sandbox.run`."""
        with tempfile.TemporaryDirectory(prefix="lydite-code-", ignore_cleanup_errors=True) as folder:

            def start(job: Job, job_fd: int, report_fd: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
                scratch = tempfile.mkdtemp(dir=folder)  # a new one for each driver, since one ends over a used folder
                python = str(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
                return subprocess.Popen(  # noqa: S603 - our own command line, without a shell
                    [python, *FLAGS, str(INSIDE), str(job_fd), str(report_fd), scratch],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=ENVIRONMENT | {"TMPDIR": scratch},
                    cwd=scratch,
                    pass_fds=(job_fd, report_fd),
                )

            with closing(run_job(start, job)) as runs:
                yield from runs
