"""The demonstration, as users run it."""

import subprocess
import sys
from pathlib import Path


def run(*args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "rusttorch.demo", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_trains(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("Kernels compiled: ", "Threads: ", "one kernel", "under @rt.fuse"):
        assert text in done.stdout
    lines = (tmp_path / "loss.txt").read_text().splitlines()
    assert len(lines) == 25
    assert float(lines[-1].split()[1]) < float(lines[1].split()[1])
    assert float(lines[-1].split()[2]) >= 0.97


def test_says_when_the_accuracy_is_too_low(tmp_path: Path) -> None:
    code = f"""
import sys, rusttorch.demo as demo
demo.WANTED = 1.1
demo.formulas = lambda: None
sys.exit(demo.main(["--epochs", "1", "--output", {str(tmp_path)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "below 110%" in done.stderr


def test_says_what_is_missing() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import rusttorch.demo as d; sys.exit(d.main([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert 'pip install "rusttorch[demo]"' in done.stderr
