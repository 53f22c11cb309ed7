"""A recorder for a CPU: what it is given is done again, by Python, when it is asked for."""

from __future__ import annotations

from lydite.policy.capture import Work


class Again:
    """Counts what it recorded and replayed."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Work) -> Work:
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            work()

        return replay
