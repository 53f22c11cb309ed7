"""Starting the processes of a run on this host, by the agent that torchrun is made of."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Final

from lydite.distributed.launched import LAUNCHER, SAID
from lydite.errors import ProcessError

_SECONDS_TO_END: Final = 20  # for the other processes to save what is finished, once one is lost


def launch(count: int, arguments: Sequence[str], *, module: str = "lydite") -> int:
    """Runs `python -m MODULE ARGUMENTS` in so many processes; the exit code of the first that failed, or 0.

    When one ends early the others are told to (SIGTERM), and killed after 20 s.

    Raises:
        ProcessError: when a process was killed, which could not say so itself.
        KeyboardInterrupt: when the user interrupts it; the processes have ended by then.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Each process says by itself what went wrong; the agent's account of it is for its developers.
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    with tempfile.TemporaryDirectory(prefix="lydite-launch-") as folder:
        os.environ |= {LAUNCHER: str(os.getpid()), SAID: folder}
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=os.path.basename(folder),  # noqa: PTH119 - a name, not a path
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            max_restarts=0,  # a run goes on from its checkpoint when its user says so
        )
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SECONDS_TO_END))
        try:
            elastic_launch(config, sys.executable)("-m", module, *arguments)
        except SignalException as error:
            if error.sigval is signal.SIGINT:
                raise KeyboardInterrupt from None
            raise ProcessError(
                f"the launcher was told to end ({error.sigval.name}), and its processes with it"
            ) from None
        except ChildFailedError as error:
            index, failure = error.get_first_failure()
            if failure.exitcode >= 0:
                return failure.exitcode
            name = signal.Signals(-failure.exitcode).name
            raise ProcessError(
                f"process {index} of {count} was killed ({name}), and the others ended with it"
            ) from None
        finally:
            del os.environ[LAUNCHER], os.environ[SAID]
            logging.disable(logging.NOTSET)
    return 0
