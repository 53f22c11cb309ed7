"""Bytes into open file descriptors, whole: one write may take only a part of them."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing takes long to import
if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[int, memoryview], int]


def write_all(fd: int, data: bytes, write: Write = os.write) -> None:
    """Writes all of the data, in as many writes as it takes."""
    left = memoryview(data)
    while left:
        left = left[write(fd, left) :]


def anonymous_file(data: bytes) -> int:
    """A descriptor, at its start, of a file that is in no folder and holds the data."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("data")
    else:
        import tempfile  # takes long to import

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
