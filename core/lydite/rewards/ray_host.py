"""What runs on a Ray cluster's hosts: an actor with a pool of one killable worker process beside it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import cloudpickle

from lydite.errors import ConfigError, RewardError
from lydite.rewards.lane import GRACE, LOAD_SECONDS, START_SECONDS, Portion, Work
from lydite.rewards.spawn import Limits
from lydite.rewards.worker import WorkerPool

OURS: Final = "LYDITE_"  # variables of the environment that workers elsewhere get too
_ON_ITS_WAY: Final = 60.0  # seconds


class Host:
    """An actor: a pool of one worker process on whatever host Ray puts it."""

    def __init__(self, limits: Limits, recycle_after: int) -> None:
        self._pool = WorkerPool(workers=1, limits=limits, recycle_after=recycle_after)

    def ready(self) -> str:
        """The name of its host, once it is there."""
        return os.uname().nodename

    def run(self, message: bytes) -> bytes:
        """The pickled outcomes of a pickled work, or why it cannot be done here."""
        try:
            work: Work = pickle.loads(message)  # noqa: S301 - written by the trainer
            return pickle.dumps(self._pool.run([work])[0], protocol=5)
        except RewardError as error:
            return pickle.dumps(f"on {os.uname().nodename}: {error}", protocol=5)
        except Exception as error:  # noqa: BLE001 - whatever it is, the trainer has to know the host
            told = f"on {os.uname().nodename}: a call cannot be read or answered: {type(error).__name__}: {error}"
            return pickle.dumps(f"{told}; every host needs lydite and the run's plugins in these versions", protocol=5)

    def close(self) -> None:
        """Ends the worker process."""
        self._pool.close()


def handed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the trainer's environment that its actors have."""
    return {name: value for name, value in environ.items() if name.startswith(OURS)}


def message_for(work: Work, portion: Portion) -> bytes:
    """The pickled part of a work that an actor is to do.

    Raises:
        ConfigError: when it cannot be pickled.
    """
    try:
        message: bytes = cloudpickle.dumps(replace(work, calls=tuple(work.calls[place] for place in portion.places)))
    except Exception as error:
        raise ConfigError(
            f"what reward {work.reward.terms.name!r} is given cannot be sent to another host "
            f"({type(error).__name__}: {error}); columns and options must be plain data"
        ) from error
    return message


def longest(work: Work, portion: Portion) -> float:
    """Seconds after which an actor that holds its calls to their deadlines has answered, whatever became of them."""
    calls = [work.calls[place] for place in portion.places]
    of_calls = sum(work.timeout * call.size + GRACE + START_SECONDS for call in calls)  # each may cost its worker
    return _ON_ITS_WAY + LOAD_SECONDS + of_calls
