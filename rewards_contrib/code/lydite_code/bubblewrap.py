"""Programs in namespaces of their own, through bubblewrap: no network, no files but Python's library, nobody else.

What is mounted: the system's libraries and the interpreter with its standard library, read-only and without installed
packages, so that no data that comes with a package can be read; three devices; a folder of limited size. There is no
/proc, /etc or /home. The driver is process 1 of its namespace, and a program can neither signal it nor outlive it.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final

from lydite_code.inside.wire import decode
from lydite_code.sandbox import CaseRun, Job, SandboxFault
from lydite_code.session import run_job

INSIDE: Final = Path(__file__).parent / "inside"
ENVIRONMENT: Final = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "TZ": "UTC"}
"""Hashes are the same in every run, so that a program that prints a set prints the same."""
FLAGS: Final = ("-s", "-S", "-B")
"""No packages, and no bytecode written. -I would do more, and would ignore PYTHONHASHSEED with it."""
SCRATCH: Final = "/tmp"  # noqa: S108 - inside, and nobody else's
_NOBODY: Final = "65534"
_LIBRARIES: Final = ("/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32")
_PROBE: Final = """
import os, socket
def free():
    found = []
    for name, attempt in {
        "processes": os.fork,
        "sockets": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "files": lambda: open("/usr/lib/probe", "w"),
        "memory": lambda: bytearray(2**31),
    }.items():
        try:
            attempt()
        except (OSError, MemoryError):
            continue
        found.append(name)
    return found
"""


class Bubblewrap:
    """The sandbox for training: isolation by the kernel's namespaces."""

    name: Final = "bubblewrap"

    def problem(self) -> str:
        """Why programs cannot be run this way here, found out by running one."""
        return _problem()

    def run(self, job: Job) -> Generator[CaseRun, None, None]:
        """A run for each case, in order. See `Sandbox.run`."""
        return run_job(_start, job)


def _start(job: Job, job_fd: int, report_fd: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxFault("bwrap is not installed")
    command = [program, *_mounts(), *_scratch(job), str(_interpreter()), *FLAGS]
    return subprocess.Popen(  # noqa: S603 - our own command line, without a shell
        [*command, "/inside", str(job_fd), str(report_fd), SCRATCH],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={},
        pass_fds=(job_fd, report_fd),
    )


@functools.cache
def _mounts() -> tuple[str, ...]:
    """Namespaces and mounts, the same for every job."""
    found = [
        "--unshare-user", "--unshare-all", "--uid", _NOBODY, "--gid", _NOBODY, "--cap-drop", "ALL",
        "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox", "--clearenv",
    ]  # fmt: skip
    links, mounted = _shown()
    for path, target in links:
        found += ["--symlink", target, path]
    for one in mounted:
        found += ["--ro-bind", str(one), str(one)]
    if Path("/etc/ld.so.cache").exists():
        found += ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for packages in _packages(mounted):
        found += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    for device in ("/dev/null", "/dev/zero", "/dev/urandom"):
        found += ["--dev-bind", device, device]
    found += ["--ro-bind", str(INSIDE), "/inside"]
    for name, value in ENVIRONMENT.items():
        found += ["--setenv", name, value]
    found += ["--setenv", "LD_LIBRARY_PATH", str(Path(sys.base_prefix).resolve() / "lib")]
    return tuple(found)


def _shown() -> tuple[list[tuple[str, str]], list[Path]]:
    """Links of the root folder, and what the program sees: the system's shared libraries, Python and its library.

    Where a distribution keeps its libraries in a folder for the processor's kind (Debian's way), nothing else of
    /usr/lib is shown: other software lies there too, and whatever data it has.
    """
    links: list[tuple[str, str]] = []
    shown: list[Path] = []
    kind = str(sysconfig.get_config_var("MULTIARCH") or "none")
    for name in _LIBRARIES:
        folder = Path(name)
        if folder.is_symlink():
            links.append((name, str(folder.readlink())))
        elif (folder / kind).is_dir():
            shown.append(folder / kind)
        elif folder.is_dir():
            shown.append(folder)
    prefix = Path(sys.base_prefix).resolve()
    shared = prefix in (Path("/usr"), Path("/usr/local"))
    own = [
        *(sorted((prefix / "lib").glob("libpython*.so*")) if shared else [prefix / "lib"]),
        Path(sysconfig.get_path("stdlib")).resolve(),
        _interpreter(),
    ]
    for path in own:
        if path.exists() and not any(path.is_relative_to(one) for one in shown):
            shown.append(path)
    return links, shown


def _packages(mounted: list[Path]) -> list[Path]:
    """Folders of installed packages below what is mounted."""
    folders = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    for root in mounted:
        if root.is_dir():
            for name in ("site-packages", "dist-packages"):
                folders.update(one.resolve() for one in (*root.glob(f"python*/{name}"), *root.glob(name)))
    return sorted(one for one in folders if one.is_dir() and any(one.is_relative_to(root) for root in mounted))


def _scratch(job: Job) -> tuple[str, ...]:
    size = str(job.scratch_mb * 2**20)
    return ("--size", size, "--tmpfs", SCRATCH, "--remount-ro", "/", "--chdir", SCRATCH, "--")


def _interpreter() -> Path:
    """The interpreter itself, where this one runs in a virtual environment."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined]


@functools.cache
def _problem() -> str:
    if sys.platform != "linux":
        return "bubblewrap exists on Linux only"
    if shutil.which("bwrap") is None:
        return "bwrap is not installed (apt install bubblewrap, dnf install bubblewrap)"
    case = {"call": "free", "args": ["l"], "kwargs": ["d"]}
    job = Job(_PROBE, "call", [case], case_seconds=10, total_seconds=10, memory_mb=512, output_kb=16)
    try:
        run = next(iter(run_job(_start, job)))
    except SandboxFault as fault:
        return f"bwrap cannot make a sandbox here, where user namespaces may be switched off: {fault}"
    try:
        free = decode(json.loads(run.payload)) if run.status == "value" else run.status
    except ValueError:  # two processes wrote where there should be one
        free = "processes"
    return "" if free == [] else f"a probe inside bwrap was not held back: {free}"
