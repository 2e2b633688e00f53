"""The wheel that was just built, in a fresh venv with no Rust, no C compiler and no torch in reach."""

import os
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHEELS = sorted((ROOT / "dist").glob("rusttorch-*.whl"))

PROGRAM = """
import importlib.util, shutil
assert importlib.util.find_spec("torch") is None
assert not any(shutil.which(tool) for tool in ("cc", "gcc", "g++", "clang", "rustc", "cargo"))
import numpy as np, rusttorch as rt
x = np.linspace(-2, 2, 1001, dtype=np.float32)
got = rt.evaluate("x * sigmoid(x)")
assert np.allclose(got, x / (1 + np.exp(-x)), atol=1e-6)
assert rt.stats()["kernels"]["compiles"] == 1 and not rt.stats()["fallbacks"]
"""


def test_wheel_needs_nothing_else(tmp_path: Path) -> None:
    assert WHEELS, "run make wheel first, as make test does"
    venv.create(tmp_path / "venv", with_pip=True)
    tools = tmp_path / "venv" / "bin"
    pip = [str(tools / "python"), "-m", "pip", "install", "--quiet", str(WHEELS[-1]), "numpy"]
    subprocess.run(pip, check=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": str(tools)}
    subprocess.run([str(tools / "python"), "-c", PROGRAM], check=True, env=environment, cwd=tmp_path)
    doctor = subprocess.run(
        [str(tools / "rusttorch"), "doctor"], check=True, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert "jit            ok" in doctor.stdout
