"""``python -m rusttorch.bench``: what it says is what it saw, and nothing wrong is timed."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rusttorch.bench import environment
from rusttorch.bench.cases import CASES, Case, make
from rusttorch.bench.formula import Steps, numba_source, numexpr_text
from rusttorch.bench.peers import Candidate, Peers
from rusttorch.bench.report import document, size, text, where_not
from rusttorch.bench.summary import summary
from rusttorch.bench.timing import Effort, Measured, WrongResult, finalists, run

BY_NAME = {case.name: case for case in CASES}
LITTLE = Effort(seconds=0.0, rounds=3, turn=0.0)
ELEMENTWISE = [case for case in CASES if case.formula and "sum(" not in case.formula]


def bench(folder: Path, *args: str, code: str = "") -> "subprocess.CompletedProcess[str]":
    """Runs the command where JAX is out of reach."""
    (folder / "jax.py").write_text("raise ImportError('there is no JAX here')\n")
    path = [str(folder), *filter(None, sys.path)]
    start = ["-c", code] if code else ["-m", "rusttorch.bench"]
    return subprocess.run(
        [sys.executable, *start, *args],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment.os.environ | {"PYTHONPATH": ":".join(path)},
    )


def test_record(tmp_path: Path) -> None:
    file, page = tmp_path / "record.json", tmp_path / "speed.md"
    # Without torch.compile, whose first kernel takes a quarter of a minute.
    peers = "torch,jax,numpy,numexpr,numba,loops"
    args = ["--peers", peers, "--sizes", "4Ki", "--threads", "1,2", "--cap", "avx2"]
    done = bench(tmp_path, *args, "--record", str(file), "--document", str(page), "x + z", "sum(dim=1)")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(file.read_text())
    assert record["schema"] == 1
    assert record["missing"]["jax"] == "ImportError: there is no JAX here"
    assert "jax is missing: ImportError" in done.stdout
    assert record["isa"] in ("baseline", "avx2", "neon")
    assert len(record["load"]) == 2 and record["machine"]["cpus"] >= 1
    assert [r["threads"] for r in record["runs"]] == [1, 2]
    for case in (c for r in record["runs"] for c in r["cases"]):
        assert case["elements"] == (16 if "16 elements" in case["name"] else 4096)
        forms = {"fresh"} if case["name"].startswith("sum") else {"fresh", "reused"}
        assert case["over"].keys() == forms
        for name, candidate in case["candidates"].items():
            assert candidate.keys() == forms, name
            for measured in candidate.values():
                assert 0 < measured["q1"] <= measured["us"] <= measured["q3"]
                assert measured["faults"] >= 0 and measured["first_ms"] > 0
                assert measured["ulp"] <= (64 if case["name"].startswith("sum") else 0.5)
        assert {"ours", "torch", "numpy"} <= case["candidates"].keys()
        assert all(ratio > 0 for ratios in case["over"].values() for ratio in ratios.values())
    assert {(r["threads"], r["elements"], r["form"]) for r in record["summary"]} == {
        (threads, 4096, form) for threads in (1, 2) for form in ("reused", "fresh")
    }
    assert "## Where it does not help" in page.read_text()
    assert "x + z" in page.read_text()


def test_refuses_wrong_results_of_ours(tmp_path: Path) -> None:
    wrong = (
        "import dataclasses, sys; from rusttorch.bench import cases, worker; "
        "cases.CASES[:] = [dataclasses.replace(c, text='x - z') for c in cases.CASES if c.name == 'x + z']; "
        "sys.exit(worker.main())"
    )
    code = (
        f"import sys; from rusttorch.bench import cli, environment; environment.WORKER[:] = ['-c', {wrong!r}]; "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    record = tmp_path / "record.json"
    done = bench(tmp_path, "--peers", "numpy", "--sizes", "4Ki", "--record", str(record), "x + z", code=code)
    assert done.returncode == 1
    assert "wrong result: x + z: ours (fresh) differs from float64 by" in done.stderr
    assert not record.exists()


@pytest.mark.parametrize("text", ["x - z", "x + z + 0*log(x - x)", "sum(x + z, 1)"])
def test_wrong_results_are_seen(text: str) -> None:
    peers = Peers(["numpy"], 1)
    with pytest.raises(WrongResult, match=r"ours \(fresh\)"):
        run(peers, dataclasses.replace(BY_NAME["x + z"], text=text), 4096, LITTLE)


def test_what_is_not_written_is_seen() -> None:
    peers = Peers(["torch", "numpy"], 1)
    case = dataclasses.replace(BY_NAME["x + z"], torch_out="torch.add(x[:-1], z[:-1], out=out[:-1])")
    result = run(peers, case, 4096, LITTLE)
    assert "torch (reused) differs from float64 by nan" in result["lacking"]["torch"]
    assert result["candidates"].keys() == {"ours", "torch", "numpy"}
    assert result["candidates"]["torch"].keys() == {"fresh"}


def test_peers_that_fail_are_reported() -> None:
    case = dataclasses.replace(BY_NAME["x + z"], torch="torch.no_such_function(x)", torch_out="")
    result = run(Peers(["torch", "numpy"], 1), case, 4096, LITTLE)
    assert "no_such_function" in result["lacking"]["torch"]
    assert result["candidates"].keys() == {"ours", "numpy"}


def test_the_fastest_peers_and_ours_meet_once_more() -> None:
    def candidate(peer: str, form: str) -> Candidate:
        return Candidate(peer, form, lambda: None, lambda result: ())

    candidates = [candidate("ours", "reused"), candidate("ours", "fresh"), candidate("jax", "fresh")]
    candidates += [candidate("numba", "reused"), candidate("numba", "fresh"), candidate("torch", "reused")]
    measured = [Measured(rounds=[t, t, t]) for t in (9.0, 5.0, 2.5, 2.0, 3.5, 8.0)]
    assert finalists(candidates, measured, "reused") == [0, 2, 3], "JAX by the form that it has, torch is too slow"
    assert finalists(candidates, measured, "fresh") == [1, 2]
    assert finalists(candidates[1:], measured[1:], "reused") == [], "ours has no such form"
    assert finalists(candidates[:2], measured[:2], "reused") == [], "there is no peer"


def test_runs_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    peers = Peers(["torch", "compile", "numpy"], 1)
    assert peers.missing.keys() == {"torch", "compile"}
    assert run(peers, BY_NAME["silu(x)*z"], 4096, LITTLE)["candidates"].keys() == {"ours", "numpy"}
    assert run(peers, BY_NAME["gelu, bfloat16"], 4096, LITTLE)["candidates"] == {}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_all_candidates_compute_the_same(case: Case) -> None:
    result = run(Peers(["torch", "numpy", "numexpr", "numba"], 1), case, 16 if case.row == 16 else 8192, LITTLE)
    assert {"ours", "torch"} <= result["candidates"].keys()
    failed = {peer: why for peer, why in result.get("lacking", {}).items() if "Error" in why or "Wrong" in why}
    assert not failed


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
def test_formula_of_every_peer(case: Case) -> None:
    operands = {name: make(name, 64, 16) for name in case.operands.split()}
    (expected,) = Peers([], 1).reference(dataclasses.replace(case, numpy=""), operands)
    dtype = np.dtype(case.dtype)
    source, constants = numba_source(case.formula, list(operands), [a.shape for a in operands.values()])
    scope: dict[str, Any] = {"math": math, "np": np, "prange": range}
    exec(source, scope | constants, scope)
    looped = np.empty(expected.shape, dtype)
    loop = type(scope["loop"])(scope["loop"].__code__, scope | constants)
    loop(*operands.values(), looped)
    results = [looped]
    if "erf(" not in case.formula:
        out = np.empty(expected.shape, dtype)
        results.append(Steps(case.formula, operands, dtype).function()(*operands.values(), out))
        if "exp2(" not in case.formula:
            # Its language is Python's here.
            words, numbers = numexpr_text(case.formula, dtype)
            results.append(eval(words, {**vars(np), **operands, **numbers}))
    for result in results:
        assert result.dtype == dtype
        assert np.allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_cap() -> None:
    variables = environment.variables(1, "avx2")
    assert variables["RUSTTORCH_MAX_ISA"] == variables["ATEN_CPU_CAPABILITY"] == "avx2"
    assert "--xla_cpu_max_isa=AVX2" in variables["XLA_FLAGS"]
    code = """
from numpy._core._multiarray_umath import __cpu_dispatch__ as compiled_for, __cpu_features__ as used
print(any(used[name] for name in compiled_for if name.startswith(("AVX512", "X86_V4"))))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment.os.environ | variables,
    )
    assert done.stdout.strip() == "False", done.stderr


def record_of(**over: dict[str, float]) -> dict[str, Any]:
    """A record of cases at 1 Mi with these ratios."""
    measured = {"us": 1.0, "q1": 1.0, "q3": 1.0, "faults": 0.0, "first_ms": 1.0, "ulp": 0.5}
    cases = [
        {
            "name": name,
            "elements": 1 << 20,
            "candidates": {p: {"reused": measured} for p in ("ours", *ratios)},
            "over": {"reused": ratios},
        }
        for name, ratios in over.items()
    ]
    return {
        "machine": environment.machine(),
        "versions": {"ours": "0"},
        "missing": {"jax": "not there"},
        "isa": "avx2",
        "cap": None,
        "load": [0.0, 1.0],
        "runs": [{"threads": 1, "clock": "wall", "cases": cases, "left_out": []}],
    }


def test_what_follows_from_a_record() -> None:
    record = record_of(exp={"torch": 4.0, "numpy": 8.0}, tanh={"torch": 0.25, "numpy": 2.0}, gelu={"torch": 1.5})
    (reused, fresh) = summary(record)
    assert reused["geometric_mean"] == pytest.approx((4 * 0.25 * 1.5) ** (1 / 3), abs=1e-3)
    assert (reused["median"], reused["worst"], reused["worst_case"]) == (1.5, 0.25, "tanh")
    assert reused["over_peers"] == {"torch": pytest.approx(1.145, abs=1e-3), "numpy": 4.0}
    assert fresh["geometric_mean"] == reused["geometric_mean"], "without the form, by the other"
    assert where_not(record) == ["", "Threads: 1.", "", "- `tanh`: 0.25 at 1 Mi (torch eager)"]
    for words in (text(record), document(record, "command", ["speed.png"])):
        assert "jax is missing" in words.lower() or "Missing: JAX (not there)." in words
        assert "0.25 at 1 Mi" in words
    assert size(1 << 20) == "1 Mi" and size(3 << 10) == "3 Ki" and size(16) == "16"
