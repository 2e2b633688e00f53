"""The ``rusttorch`` command of the wheel."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


def run(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "rusttorch", *args], capture_output=True, text=True, timeout=120)


def output(*args: str) -> str:
    done = run(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_inspect() -> None:
    operands = ("--arg", "x:f32[64,32]", "--arg", "b:f32[32]")
    assert "f32" in output("inspect", "relu(x + b)", *operands, "--emit", "kernel")


def test_inspect_for_other_machines() -> None:
    for isa, registers in (("avx512", "zmm"), ("avx2", "ymm"), ("baseline", "xmm"), ("neon", "ldr q")):
        text = output("inspect", "x + z", "--arg", "x:f32[99]", "--arg", "z:f32[99]", "--isa", isa)
        assert registers in text, isa
        assert isa == "avx512" or "zmm" not in text


def test_ops() -> None:
    assert "torch.nn.functional.gelu" in output("ops", "gelu")


def test_bench() -> None:
    assert output("bench", "x * 2 + 1", "--arg", "x:f32[1000]").strip()
    assert run("bench", "x", "--arg", "x:f32[9]", "--threads", "0").returncode == 2
    assert "100000 thread" not in output("bench", "x + 1", "--arg", "x:f32[9]", "--threads", "100000")


def test_bench_tells_of_the_kernel_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSTTORCH_DUMP", str(tmp_path))
    told = json.loads(output("bench", "lgamma(x) + 2", "--arg", "x:f32[100]", "--json"))
    heads = [file.read_text() for file in tmp_path.glob("*.rtir")]
    # Its own compile time, not that of the copy that it is compared with.
    assert len(heads) == 2
    (own,) = [head for head in heads if head.startswith("; lgamma(x) + 2")]
    assert float(re.search(r"([0-9.]+) ms", own).group(1)) == pytest.approx(told["compile_ms"], abs=0.006)  # type: ignore[union-attr]


def test_an_argument_given_twice() -> None:
    assert "--arg x is given twice" in run("inspect", "x + 1", "--arg", "x:f32[9]", "--arg", "x:f32[8]").stderr


def test_doctor() -> None:
    assert isinstance(json.loads(output("doctor", "--json")), dict)


def test_exit_codes() -> None:
    wrong = run("inspect", "relu(", "--arg", "x:f32[2]")
    assert wrong.returncode == 1
    assert "error" in wrong.stderr
    assert run("nonsense").returncode == 2
