"""What a run was made with: versions, plugins and their digests, device, seed."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from lydite.config import RunConfig
from lydite.distributed import current
from lydite.plugins import Plugins
from lydite.policy.identity import weights_digest

_PACKAGES: Final = (
    "torch", "transformers", "peft", "bitsandbytes", "triton", "vllm", "datasets", "pluggy", "pebble", "numpy",
)  # fmt: skip


def make_manifest(config: RunConfig, plugins: Plugins, device: torch.device) -> dict[str, Any]:
    """The facts that a reader of the run's numbers needs, in JSON terms."""
    return {
        "lydite": importlib.metadata.version("lydite"),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "plugins": [
            {
                "plugin": owner.plugin,
                "distribution": owner.distribution,
                "version": owner.version,
                "source": owner.source,
                "sha256": owner.sha256,
            }
            for owner in plugins.owners
        ],
        "device": _device(device),
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "processes": current().count,
        "seed": config.seed,
        "model": config.model.path,
        "model_digest": weights_digest(config.model),
    }


def plugin_changes(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each plugin whose version or content differs between two manifests."""
    old = {(one["distribution"], one["plugin"]): one for one in before}
    new = {(one["distribution"], one["plugin"]): one for one in now}
    changes = [f"{key[0]} was loaded then and is not now" for key in old.keys() - new.keys()]
    changes += [f"{key[0]} {new[key]['version']} is loaded now and was not then" for key in new.keys() - old.keys()]
    for key in old.keys() & new.keys():
        if old[key]["version"] != new[key]["version"]:
            changes.append(f"{key[0]} was {old[key]['version']} and is {new[key]['version']}")
        elif old[key]["sha256"] != new[key]["sha256"]:
            changes.append(f"{key[0]} {new[key]['version']} has other content than then, under the same version")
    return sorted(changes)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    """The processor's name, and which of its instructions torch computes with."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.machine())}, {torch.backends.cpu.get_cpu_capability()}"


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()} ({torch.get_num_threads()} threads)"
