"""A program that looks for what does not belong into a sandbox, and prints what it finds."""

import os
from pathlib import Path

KNOWN = ("PYTHONHASHSEED", "LANG", "TZ", "LD_LIBRARY_PATH", "PWD")
found = [name for name in os.environ if name not in KNOWN]
for name in ("proc", "etc", "home", "sys", "var", "run", "mnt", "opt"):
    folder = Path("/", name)
    if folder.exists() and {one.name for one in folder.iterdir()} != {"ld.so.cache"}:
        found.append(name)
for root, folders, _ in os.walk("/"):
    found += [f"{root}/{name}" for name in folders if name.endswith("-packages") and any(Path(root, name).iterdir())]
    folders[:] = [name for name in folders if root.count("/") < 8 and not name.startswith("__")]
print(found)
