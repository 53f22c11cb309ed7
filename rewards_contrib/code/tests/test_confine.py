"""What a program's process takes on before it is the program."""

import subprocess
import sys
from pathlib import Path

import pytest

from lydite_code.inside import confine

ORPHAN = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import confine
driver = os.getpid()
if os.fork() == 0:
    while sys.argv[2] == "ends" and os.getppid() == driver:
        time.sleep(0.001)
    confine.die_with(driver)
    print("still here", flush=True)
    os._exit(0)
if sys.argv[2] != "ends":
    os.wait()
"""
"""A driver that has ended before its fork asks the kernel to end it as well, or one that lives on."""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked on Linux alone")
@pytest.mark.parametrize(("driver", "said"), [("ends", ""), ("lives", "still here\n")])
def test_a_fork_does_not_outlive_a_driver_that_ended_before_it_could_ask(driver, said):
    command = [sys.executable, "-c", ORPHAN, str(Path(confine.__file__).parent), driver]
    # The pipe is open for as long as the fork lives, so that its end is waited for.
    assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout == said
