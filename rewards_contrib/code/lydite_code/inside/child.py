"""A fork of the driver on its way to being the program: streams, limits, then the program's own text.

How it ended goes to the driver as a note on a pipe of its own: a token, a word of `STATUSES`, and what belongs to it.
A program that finds the pipe and the token can write that note itself. It gains nothing: a note only says which value
was returned, and the right value is known outside alone.
"""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType

TYPE_CHECKING = False  # typing takes long to import
if TYPE_CHECKING:
    from typing import Any

    from lydite_code.inside import confine, descriptors, wire
else:
    import confine
    import descriptors
    import wire

STATUSES = frozenset({"value", "formless", "done", "exited", "raised", "missing", "syntax", "memory"})
"""What a note can say.

`value`: the function returned, and here is what. `formless`: what it returned is too deep or large to be written.
`done`: the script came to its end. `exited`: the program ended itself. `raised`: an exception, and its name.
`missing`: there is no such function. `syntax`: not a program. `memory`: out of memory.
"""
FILES = 64
"""Open files that a program may have."""

_leave, _write = os._exit, os.write  # as they are now, before a program may put others in their place


def become_program(job: dict[str, Any], case: dict[str, Any], token: bytes, note: int, out: int, driver: int) -> None:
    """Turns this process, a fork of the driver, into the program, run for one case. Never returns."""
    confine.die_with(driver)
    script = job["kind"] == "script"
    null = os.open(os.devnull, os.O_RDWR)
    stdin = case["stdin"].encode("utf-8", "surrogatepass") if script else b""
    os.dup2(descriptors.anonymous_file(stdin) if script else null, 0)
    os.dup2(out if script else null, 1)
    os.dup2(null, 2)
    os.dup2(note, 3)  # last, since one of the others may be 3
    os.closerange(4, 256)
    confine.limit(
        memory=job["memory"],
        cpu_seconds=int(job["seconds"]) + 1,
        file_bytes=job["file_bytes"],
        files=FILES,
    )
    confine.refuse_calls()
    status, said = _ran_script(job["program"]) if script else _returned(job["program"], case)
    descriptors.write_all(3, token + status.encode() + b"\n" + said, _write)
    _leave(0 if status != "exited" else 1)


def _module(program: str, name: str) -> tuple[ModuleType | None, Any, tuple[str, bytes]]:
    """A module of that name for the program, and the program compiled; without these, a note that says why not."""
    try:
        code = compile(program, "program.py", "exec", dont_inherit=True)
    except MemoryError:
        return None, None, ("memory", b"")
    except Exception as error:  # noqa: BLE001 - a NUL, a lone surrogate and too deep a nesting each raise their own
        return None, None, ("syntax", type(error).__name__.encode())
    module = ModuleType(name)
    sys.modules[name] = module
    return module, code, ("", b"")


def _returned(program: str, case: dict[str, Any]) -> tuple[str, bytes]:
    """The note of a call of one of the program's functions."""
    module, code, note = _module(program, "program")
    if module is None:
        return note
    try:
        exec(code, module.__dict__)  # noqa: S102 - the sandbox is there for this line
        function = _found(module, case["call"])
        if function is None:
            return "missing", b""
        args, kwargs = wire.decode(case["args"]), wire.decode(case["kwargs"])
        result = function(*args, **kwargs)
        return "value", json.dumps(wire.encode(result), separators=(",", ":")).encode()
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are the program's too
        return _failure(error)


def _found(module: ModuleType, path: str) -> Any:
    """The function that a dotted name stands for; a class on the way is instantiated without arguments."""
    found: Any = module
    for name in path.split("."):
        if isinstance(found, type):
            found = found()
        found = getattr(found, name, None)
    return found if callable(found) else None


def _ran_script(program: str) -> tuple[str, bytes]:
    """The note of the program run as a script, once all that it printed has been handed over."""
    module, code, note = _module(program, "__main__")
    if module is None:
        return note
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - for as long as the program lives
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - for as long as the program lives
    sys.__stdin__, sys.__stdout__ = sys.stdin, sys.stdout  # type: ignore[misc]
    out = sys.stdout
    try:
        status, said = _executed(code, module)
        # What an interpreter does at its end: other threads, exit handlers, and what still waits to be written.
        import atexit
        import threading

        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (out, sys.stdout):
            stream.flush()
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are the program's too
        return _failure(error)
    return status, said


def _executed(code: Any, module: ModuleType) -> tuple[str, bytes]:
    try:
        exec(code, module.__dict__)  # noqa: S102 - the sandbox is there for this line
    except SystemExit as end:
        return ("done", b"") if end.code is None or end.code == 0 else ("exited", b"")
    except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt is the program's too
        return _failure(error)
    return "done", b""


def _failure(error: BaseException) -> tuple[str, bytes]:
    kind = type(error)
    if kind is MemoryError:
        return "memory", b""
    if kind is SystemExit:
        return "exited", b""
    if kind is wire.NoForm:
        return "formless", b""
    return "raised", kind.__name__.encode("ascii", "replace")[:80]
