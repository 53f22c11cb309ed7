"""verl's own scoring functions, imported without the packages that start a cluster.

`verl` and `verl.utils` import Ray and more when they are loaded; the scoring functions below them need nothing.
"""

import sys
from pathlib import Path
from types import ModuleType

_folder = Path(sys.prefix) / "peers" / "verl" / "verl"
for _name, _path in (("verl", _folder), ("verl.utils", _folder / "utils")):
    if _name not in sys.modules:
        _module = ModuleType(_name)
        _module.__path__ = [str(_path)]
        sys.modules[_name] = _module

from verl.utils.reward_score import default_compute_score, gsm8k  # noqa: E402

gsm8k_score = gsm8k.compute_score

__all__ = ["default_compute_score", "gsm8k_score"]
