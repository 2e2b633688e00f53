"""Side-by-side timings: RustTorch beside what users would pick instead, in one run.

Rules: one process, one thread (but for the case that says two), candidates take turns so that a noisy
machine is noisy for all, results are verified before anything is timed, the figure is the median. torch's
allocator is tuned (see ``main``) so that it does not pay for fresh pages at every call.

    python benches/compare.py [--rounds N] [--record FILE] [--no-inductor]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_TOP_PAD_": str(1 << 27),
}
Call = Callable[[], Any]


def cpu_name() -> str:
    """The processor's name, as the kernel tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")


def take_turns(candidates: dict[str, Call], rounds: int) -> dict[str, float]:
    """Median microseconds of each candidate; they run one after another in every round."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    repeat = {}
    for name, call in candidates.items():
        call()
        start = time.perf_counter()
        call()
        repeat[name] = max(1, min(1000, int(2e-4 / max(time.perf_counter() - start, 1e-7))))
    for _ in range(rounds):
        for name, call in candidates.items():
            n = repeat[name]
            start = time.perf_counter()
            for _ in range(n):
                call()
            times[name].append((time.perf_counter() - start) / n * 1e6)
    return {name: statistics.median(t) for name, t in times.items()}


def cases(torch: Any, np: Any, rt: Any, inductor: bool) -> list[tuple[str, str, dict[str, Call], float]]:
    """(name, target, candidates, tolerance); the first candidate is ours."""
    functional = torch.nn.functional
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1024, 1024, generator=generator)
    w, b = torch.randn(1024, generator=generator), torch.randn(1024, generator=generator)
    xn, wn, bn = x.numpy(), w.numpy(), b.numpy()
    scratch = np.empty_like(xn)

    def compiled(f: Any, *args: Any) -> dict[str, Call]:
        if not inductor:
            return {}
        g = torch.compile(f, dynamic=False)
        g(*args)
        return {"inductor": lambda: g(*args)}

    def numba_relu() -> dict[str, Call]:
        try:
            import numba
        except ImportError:
            return {}

        @numba.njit(fastmath=False)
        def f(x: Any, w: Any, b: Any, out: Any) -> Any:
            for i in range(x.shape[0]):
                for j in range(x.shape[1]):
                    out[i, j] = max(x[i, j] * w[j] + b[j], np.float32(0))
            return out

        f(xn, wn, bn, scratch)
        return {"numba": lambda: f(xn, wn, bn, scratch)}

    def relu(x: Any, w: Any, b: Any) -> Any:
        return torch.relu(x * w + b)

    def gelu(x: Any, w: Any, b: Any) -> Any:
        return functional.gelu(x * w + b, approximate="tanh")

    ours_relu = rt.expr("relu(x*w + b)")
    ours_gelu = rt.expr("gelu(x*w + b, approximate='tanh')")
    out: list[tuple[str, str, dict[str, Call], float]] = [
        (
            "relu(x*w + b)",
            ">= 0.85x the best",
            {"ours": lambda: ours_relu(x, w, b), "eager": lambda: relu(x, w, b)}
            | compiled(relu, x, w, b)
            | numba_relu(),
            0.0,
        ),
        (
            "gelu_tanh(x*w + b)",
            ">= 1.4x inductor",
            {"ours": lambda: ours_gelu(x, w, b), "eager": lambda: gelu(x, w, b)} | compiled(gelu, x, w, b),
            1e-5,
        ),
    ]
    for name, text, f, n in [
        ("sum", "sum(x)", lambda x: x.sum(), lambda: xn.sum()),
        ("sum(dim=0)", "sum(x, dim=0)", lambda x: x.sum(0), lambda: xn.sum(0)),
        ("sum(dim=1)", "sum(x, dim=1)", lambda x: x.sum(1), lambda: xn.sum(1)),
        ("var(dim=1)", "var(x, dim=1)", lambda x: x.var(1), lambda: xn.var(1, ddof=1)),
    ]:
        e = rt.expr(text)
        candidates: dict[str, Call] = {"ours": lambda e=e: e(x), "eager": lambda f=f: f(x), "numpy": n}  # type: ignore[misc]
        out.append((name, ">= 0.97x the best", candidates | compiled(f, x), 2e-3))
    for name, text, f, tolerance in [
        ("exp", "exp(x)", torch.exp, 1e-5),
        ("tanh", "tanh(x)", torch.tanh, 1e-6),
        ("sigmoid", "sigmoid(x)", torch.sigmoid, 1e-6),
        ("gelu (erf)", "gelu(x)", functional.gelu, 1e-5),
        ("silu", "silu(x)", functional.silu, 1e-5),
        ("softmax(dim=-1)", "softmax(x, -1)", lambda x: torch.softmax(x, -1), 1e-6),
        ("log_softmax(dim=-1)", "log_softmax(x, -1)", lambda x: torch.log_softmax(x, -1), 1e-5),
        ("layer_norm", "layer_norm(x, [1024])", lambda x: functional.layer_norm(x, (1024,)), 1e-5),
        ("argmax(dim=1)", "argmax(x, dim=1)", lambda x: x.argmax(1), 0.0),
    ]:
        e = rt.expr(text)
        pair: dict[str, Call] = {"ours": lambda e=e: e(x), "eager": lambda f=f: f(x)}  # type: ignore[misc]
        out.append((name, "", pair | compiled(f, x), tolerance))
    s = [torch.randn(16, generator=generator) for _ in range(3)]
    sn = [t.numpy() for t in s]
    small = rt.expr("relu(x*w + b)")
    out.append(("16 elements, torch", "<= 1.5 us", {"ours": lambda: small(*s), "eager": lambda: relu(*s)}, 0.0))
    out.append(
        (
            "16 elements, numpy",
            "<= 2 us",
            {"ours": lambda: small(*sn), "numpy": lambda: np.maximum(sn[0] * sn[1] + sn[2], np.float32(0))},
            0.0,
        )
    )
    return out


def verify(torch: Any, np: Any, candidates: dict[str, Call], tolerance: float) -> None:
    """Refuses to time results that differ."""
    results = {name: np.asarray(call(), dtype=np.float64) for name, call in candidates.items()}
    ours = results.pop("ours")
    for name, other in results.items():
        worst = float(np.max(np.abs(ours - other)))
        if worst > tolerance and name != "numba":
            raise SystemExit(f"results differ from {name} by {worst}")


def threads(torch: Any, rt: Any, rounds: int) -> dict[str, float]:
    """gelu on 4M elements with one thread and with two."""
    x = torch.randn(1 << 22)
    f = rt.expr("gelu(x)")

    def limited(n: int) -> Call:
        def call() -> Any:
            with rt.num_threads(n):
                return f(x)

        return call

    torch.set_num_threads(2)
    result = take_turns({"1 thread": limited(1), "2 threads": limited(2)}, rounds)
    torch.set_num_threads(1)
    return result


def compile_times(rt: Any) -> list[float]:
    """Milliseconds to compile each one-operand row at float32, first call included."""
    code = """
import json, numpy as np, rusttorch as rt
from rusttorch import _names
x = np.linspace(0.1, 0.9, 64, dtype=np.float32)
out = []
for name in _names.ops():
    try:
        e = rt.expr(f"{name}(x)")
        before = rt.stats()["kernels"]
        e(x)
    except Exception:
        continue
    after = rt.stats()["kernels"]
    if after["compiles"] > before["compiles"]:
        out.append(after["compile_ms"] - before["compile_ms"])
print(json.dumps(out))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


def main() -> None:
    """Runs everything and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--record", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--no-inductor", action="store_true", help="leave torch.compile out (it needs g++)")
    args = parser.parse_args()
    if any(os.environ.get(k) != v for k, v in TUNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | TUNED)

    import numpy as np
    import rusttorch as rt
    import torch

    torch.set_num_threads(1)
    rt.set_num_threads(1)
    isa = rt.stats()["isa"]
    print(f"{cpu_name()}; rusttorch {rt.__version__} ({isa}), torch {torch.__version__}, numpy {np.__version__}")
    print("float32, 1 thread, medians in microseconds, candidates taking turns\n")
    record: dict[str, Any] = {"cpu": cpu_name(), "isa": isa, "torch": torch.__version__, "cases": {}}
    for name, target, candidates, tolerance in cases(torch, np, rt, not args.no_inductor):
        verify(torch, np, candidates, tolerance)
        times = take_turns(candidates, args.rounds)
        peers = {k: v for k, v in times.items() if k != "ours"}
        best = min(peers, key=lambda k: peers[k])
        ratio = peers[best] / times["ours"]
        record["cases"][name] = times
        shown = "  ".join(f"{k} {v:9.2f}" for k, v in times.items())
        print(f"{name:<20} {shown}   {ratio:5.2f}x the best ({best})   {target}", flush=True)
    rt.set_num_threads(2)
    two = threads(torch, rt, args.rounds)
    record["cases"]["gelu, 4M"] = two
    speedup = two["1 thread"] / two["2 threads"]
    print(f"{'gelu, 4M elements':<20} {two['1 thread']:9.0f} on 1 thread, {speedup:.2f}x on 2   >= 1.7x")
    compile_ms = sorted(compile_times(rt))
    if compile_ms:
        median = statistics.median(compile_ms)
        record["compile_ms"] = {"median": median, "worst": compile_ms[-1], "rows": len(compile_ms)}
        print(f"compile: median {median:.2f} ms, worst {compile_ms[-1]:.2f} ms over {len(compile_ms)} rows   <= 1 ms")
    if args.record:
        args.record.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
