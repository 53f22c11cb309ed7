"""Collected only where the interpreter is on: `TRITON_INTERPRET=1 pytest tests/kernels/interpreted`."""

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]
