"""The Triton programs run in Triton's interpreter, in a process of their own: triton reads its variable once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "tests", [["interpreted"], ["test_rms_norm.py", "test_rope.py", "test_glu.py", "test_merge.py"]]
)
def test_the_programs_compute_what_bitsandbytes_and_transformers_do(tests: list[str]) -> None:
    pytest.importorskip("triton")
    paths = [str(Path(__file__).parent / one) for one in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
        env={**os.environ, "TRITON_INTERPRET": "1", "LYDITE_KERNELS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout)
