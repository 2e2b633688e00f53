"""The files of examples/, in a short mode."""

import re
import subprocess
import sys
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
        assert warm <= first
        # exp of a rounded argument: up to 8 of its units.
        assert 0 < ulps < 16
    for name in ("numexpr", "numba"):
        assert re.search(rf"^{name} +(missing: not installed|[\d.]+ ms .*)$", done.stdout, re.MULTILINE)
