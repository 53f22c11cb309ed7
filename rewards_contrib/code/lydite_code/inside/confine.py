"""Limits that a process takes on before it runs a stranger's program, and can never lay down again.

The kernel is asked through ctypes, since Python has no names for these calls. On systems other than Linux, and on
processors whose call numbers are not listed here, the filter is not available and `can_filter` says so.

Source: Linux man pages prctl(2), seccomp(2), syscall(2); call numbers from the kernel's tables for each processor.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 4, 22, 38
_FILTER_MODE = 2
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little-endian
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x10000


# What a program has no business with: new processes, signals to others, sockets, memory that no limit counts
# (memfd, System V), and the parts of the kernel that are rich in holes.
class _Calls:
    """Numbers of system calls on one processor."""

    def __init__(self, arch: int, clone: int, clone3: int, tgkill: int, prlimit: int, refused: tuple[int, ...]) -> None:
        self.arch = arch
        self.clone = clone
        self.clone3 = clone3
        self.tgkill = tgkill
        self.prlimit = prlimit
        self.refused = refused


def _calls() -> _Calls | None:
    machine = os.uname().machine if sys.platform == "linux" else ""
    if machine == "x86_64":
        refused: tuple[int, ...] = (
            57, 58, 59, 322,  # fork vfork execve execveat
            62, 200, 129, 297, 424, 434, 438,  # kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_*
            41, 109, 112,  # socket setpgid setsid
            29, 64, 68, 240, 319, 447,  # shmget semget msgget mq_open memfd_create memfd_secret
            101, 310, 311, 272, 308, 165, 166, 155, 161,  # ptrace process_vm_* unshare setns mount umount2 *root
            248, 249, 250, 321, 298, 323, 425, 426, 427, 304,  # keys bpf perf userfaultfd io_uring_* open_by_handle_at
        )  # fmt: skip
        return _Calls(0xC000003E, clone=56, clone3=435, tgkill=234, prlimit=302, refused=refused)
    if machine == "aarch64":  # the same calls, in the same order; fork and vfork do not exist there
        refused = (
            221, 281,
            129, 130, 138, 240, 424, 434, 438,
            198, 154, 157,
            194, 190, 186, 180, 279, 447,
            117, 270, 271, 97, 268, 40, 39, 41, 51,
            217, 218, 219, 280, 241, 282, 425, 426, 427, 265,
        )  # fmt: skip
        return _Calls(0xC00000B7, clone=220, clone3=435, tgkill=131, prlimit=261, refused=refused)
    return None


_CALLS = _calls()


def can_filter() -> bool:
    """Whether new processes, signals and sockets can be refused here."""
    return _CALLS is not None


def hide() -> None:
    """Keeps other processes of the same user from looking into this one's memory and files."""
    _prctl(_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Lets the kernel end this process when the one that started it ends, from now on."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def die_with(parent: int) -> None:
    """The same for a fork, which ends now where the process it was forked from has already ended.

    A driver may be killed between its fork and the fork's request to the kernel, which then has nothing to tell.
    """
    die_with_parent()
    if os.getppid() != parent:
        os._exit(70)


def limit(*, memory: int, cpu_seconds: int, file_bytes: int, files: int) -> None:
    """Sets limits on this process: address space and file size in bytes, CPU in seconds, open files, no core dumps.

    A limit that is in force already and lower stays.
    """
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(what, (lower, lower))
        except (ValueError, OSError):  # macOS refuses some of them
            continue


def refuse_calls() -> None:
    """Takes away this process's right to start processes, to signal others and to open sockets; threads stay.

    Raises:
        OSError: when the kernel does not take the filter.
    """
    if _CALLS is None:
        return
    code = _filter(_CALLS)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(program))


def _filter(calls: _Calls) -> bytes:
    """The filter as a program for the kernel's packet filter machine."""
    no, allow = _step(_RETURN, _REFUSE | _EPERM), _step(_RETURN, _ALLOW)
    steps = [
        _step(_LOAD, _ARCHITECTURE), _step(_JUMP_EQUAL, calls.arch, 1), _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_JUMP_AT_LEAST, 0x40000000, 0, 1), no,  # the x32 calls, which have numbers of their own
    ]  # fmt: skip
    for call in calls.refused:
        steps += [_step(_JUMP_EQUAL, call, 0, 1), no]
    # The C library falls back to clone, whose flags can be seen, where clone3 does not seem to exist.
    steps += [_step(_JUMP_EQUAL, calls.clone3, 0, 1), _step(_RETURN, _REFUSE | _ENOSYS)]
    for call, condition, wanted in (
        (calls.clone, _JUMP_BITS, _CLONE_THREAD),
        (calls.tgkill, _JUMP_EQUAL, os.getpid()),
        (calls.prlimit, _JUMP_EQUAL, 0),
    ):
        load = _step(_LOAD, _FIRST_ARGUMENT)
        steps += [_step(_JUMP_EQUAL, call, 0, 4), load, _step(condition, wanted, 1), no, allow]
    return b"".join([*steps, allow])


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction: the number of instructions to skip when its condition holds, and when it does not."""
    return struct.pack("=HBBI", code, yes, no, value)


def _prctl(option: int, *arguments: int) -> None:
    if sys.platform != "linux":
        return
    values = [ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(ctypes.c_int(option), *values) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")
