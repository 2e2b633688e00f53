"""The ``rusttorch`` command of the wheel."""

import json
import subprocess
import sys


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


def test_doctor() -> None:
    assert isinstance(json.loads(output("doctor", "--json")), dict)


def test_exit_codes() -> None:
    wrong = run("inspect", "relu(", "--arg", "x:f32[2]")
    assert wrong.returncode == 1
    assert "error" in wrong.stderr
    assert run("nonsense").returncode == 2
