"""Why something could not be written: the system's reason and, on a full disk, which one it is and what it has left."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_CODE: Final = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust, such as safetensors, give the number


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
