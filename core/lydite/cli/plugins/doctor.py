"""Why plugins fail, and what to do about each."""

from __future__ import annotations

import os
import re
from typing import Any

from rich.console import Console
from rich.text import Text

from lydite.plugins import BLOCK_VARIABLE, Failure, Plugins


def diagnosis(plugins: Plugins) -> dict[str, Any]:
    """How many plugins load, and every failure with its plugin, distribution, version, cause and remedy; JSON-able."""
    failed = {failure.owner for failure in plugins.failures}
    return {
        "loaded": len([owner for owner in plugins.owners if owner not in failed]),
        "disabled": os.environ.get(BLOCK_VARIABLE, ""),
        "failures": [
            {
                "plugin": failure.owner.plugin,
                "distribution": failure.owner.distribution,
                "version": failure.owner.version,
                "cause": failure.cause,
                "remedy": _remedy(failure),
            }
            for failure in plugins.failures
        ],
    }


def print_diagnosis(found: dict[str, Any]) -> None:
    """The failures, each with what to do, and a closing line."""
    console = Console(highlight=False)
    for failure in found["failures"]:
        console.print(Text(f"{failure['plugin']} of {failure['distribution']} {failure['version']}", style="bold red"))
        console.print(Text(f"  cause: {failure['cause']}"), soft_wrap=True)
        console.print(Text(f"  what to do: {failure['remedy']}\n"), soft_wrap=True)
    if found["disabled"]:
        console.print(f"left out by {BLOCK_VARIABLE}: {found['disabled']}")
    bad = len(found["failures"])
    console.print(f"{found['loaded']} plugins load, {bad if bad else 'none'} {'fail' if bad > 1 else 'fails'}")


def _remedy(failure: Failure) -> str:
    owner, cause = failure.owner, failure.cause
    if owner.source == "file":
        return f"correct {owner.location}"
    without = f"to do without it: {BLOCK_VARIABLE}={owner.distribution}"
    missing = re.search(r"No module named '([\w.]+)'", cause)
    if missing:
        module = missing[1]
        if module.split(".")[0] == owner.location.split(":")[0].split(".")[0]:
            return f"its files are not there; pip install --force-reinstall {owner.distribution}; {without}"
        return (
            f"it imports {module}, which is not installed; install the package that brings it, and tell the author of "
            f"{owner.distribution} to depend on it; {without}"
        )
    if "is offered twice" in cause:
        return (
            f"a run can name one of the two in `plugins`, not both; uninstall the one that you do not use, or leave it "
            f"out of this list: {BLOCK_VARIABLE}={owner.distribution}"
        )
    if "there is no hook" in cause or "is not marked as a hook" in cause:
        return (
            f"its author has to correct the hook, or it was made for another version of lydite: update both; {without}"
        )
    return f"see the whole traceback with: python -c 'import {owner.location.split(':')[0]}'; {without}"
