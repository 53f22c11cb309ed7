"""Files and folders written whole or not at all, and why one could not be: on a full disk, which, and what is left."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lydite.errors import WriteError

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_CODE: Final = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust, such as safetensors, give the number
_LARGE: Final = 1e6  # bytes: from here on the size of what found no room is worth a word


def write_atomically(path: Path, content: bytes) -> Path:
    """Writes the file under another name, forces it to disk, and renames it; its folder is made where there is none.

    Raises:
        WriteError: when it cannot be written, for example on a full disk; what was there is as it was.
    """
    draft = path.with_name(path.name + ".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()  # on a full disk the room it took is what the rest of a run needs
        size = f", about {spoken_size(len(content))}" if len(content) >= _LARGE else ""
        raise WriteError(f"cannot write {path}{size}: {why_unwritten(error, path)}") from error
    return path


@contextmanager
def drafted_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when all went well; otherwise what was there is as it was."""
    draft, old = target.with_name(f".draft-{target.name}"), target.with_name(f".old-{target.name}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.replace(old)
        draft.replace(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if old.exists() and not target.exists():
            old.replace(target)
        shutil.rmtree(draft, ignore_errors=True)


def why_unwritten(error: Exception, path: Path) -> str:
    """The system's reason in its own words. Where there is no room for `path`, what to do comes after it."""
    found = _CODE.search(str(error))
    code = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    if code is None:
        return str(error).partition("\n")[0]
    return os.strerror(code) + (f"; {_make_room(path)}" if code in _NO_ROOM else "")


def spoken_size(size: float) -> str:
    """Bytes in kB, MB or GB, powers of ten, with three digits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def _make_room(path: Path) -> str:
    place = mount_point(path)
    disk = os.statvfs(place)
    if disk.f_files and not disk.f_favail:
        return f"delete files on the file system at {place}: it holds {disk.f_files} of them, and takes no more"
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return f"make room on the file system at {place}, which has {spoken_size(free)} of {spoken_size(size)} free"


def mount_point(path: Path) -> Path:
    """Where the file system is mounted that a path is on, whether there is something at the path or not."""
    place = path.resolve()
    while not place.is_mount() and place != place.parent:
        place = place.parent
    return place
