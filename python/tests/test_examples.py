"""The files of examples/, in a short mode, and the examples of docstrings."""

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_my_formula() -> None:
    command = [sys.executable, "-P", str(EXAMPLES / "my_formula.py"), "--elements", "20000", "--seconds", "0.05"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for name in ("numpy", "rusttorch"):
        row = re.search(rf"^{name} +([\d.]+) ms +([\d.]+) ms +([\d.]+)x +([\d.]+) ULP$", done.stdout, re.MULTILINE)
        assert row, done.stdout
        first, warm, _, ulps = map(float, row.groups())
        assert warm > 0 and first > 0
        # exp of a rounded argument: up to 8 of its units.
        assert 0 < ulps < 16
    for name in ("numexpr", "numba"):
        assert re.search(rf"^{name} +(missing: not installed|[\d.]+ ms .*)$", done.stdout, re.MULTILINE)


def test_docstrings() -> None:
    from rusttorch import _public

    for name in (*_public.MODULES, "_scans", "_join"):
        result = doctest.testmod(import_module(f"rusttorch.{name}"))
        assert result.attempted > 0 and result.failed == 0, name
