"""What can be wrong with a sample's tests, as opposed to a program."""

from __future__ import annotations

from lydite import Evidence, Status, Verdict


class BadTests(ValueError):  # noqa: N818 - says what is bad
    """A sample's tests cannot be used: nobody's program can be judged by them."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """A code: `tests.missing`, `tests.malformed` or `tests.weak`."""

    def verdict(self) -> Verdict:
        """The error that the reward returns: the prompt's fault, with the message as evidence."""
        return broken(self.reason, str(self))


def broken(reason: str, detail: str) -> Verdict:
    """An error that is the prompt's or the machine's fault, with an explanation."""
    return Verdict(None, Status.ERROR, reason=reason, evidence=(Evidence(detail, note="error"),), scope="prompt")
