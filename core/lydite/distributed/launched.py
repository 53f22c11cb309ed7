"""What a process of `lydite train --processes` has to do with its launcher; other launchers have ways of their own."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

from lydite.errors import ProcessError

LAUNCHER: Final = "LYDITE_LAUNCHER"
"""In the environment: the number of the launcher's process."""
SAID: Final = "LYDITE_LAUNCHER_SAID"
"""In the environment: a folder in which the processes note what has been said."""
_PR_SET_PDEATHSIG: Final = 1  # of Linux: a signal that a process gets when its parent ends


def follow_launcher() -> None:
    """Has the system send this process SIGTERM when its launcher is killed, and so can tell it nothing itself.

    It would go on else, on a GPU that nobody knows to be taken.

    Raises:
        ProcessError: when the launcher is gone by now.
    """
    launcher = os.environ.get(LAUNCHER)
    if launcher is None or sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(launcher):
        raise ProcessError(f"the launcher of this run, process {launcher}, is gone")


def first_to_say(message: str) -> bool:
    """True in the first process of the launcher's that asks with this message, in each where there is no launcher."""
    folder = os.environ.get(SAID)
    if folder is None:
        return True
    try:
        (Path(folder) / hashlib.sha256(message.encode()).hexdigest()).touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:  # the launcher is gone with its folder, or the disk is full: rather twice than not at all
        return True
    return True
