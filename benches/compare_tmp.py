"""Side-by-side timings: RustTorch beside what users would pick instead, in one run.

Rules: one process, one thread (but for the case that says two), candidates take turns so that a noisy
machine is noisy for all, results are verified before anything is timed, the figure is the median. torch's
allocator is tuned (see ``main``) so that it does not pay for fresh pages at every call. A peer that is not
installed is reported as missing.

    python benches/compare.py [--rounds N] [--record FILE] [--no-inductor] [CASE ...]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import Case, cases

TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_TOP_PAD_": str(1 << 27),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
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
    import random

    times: dict[str, list[float]] = {name: [] for name in candidates}
    repeat = {}
    for name, call in candidates.items():
        call()
        start = time.perf_counter()
        call()
        repeat[name] = max(1, min(1000, int(4e-3 / max(time.perf_counter() - start, 1e-7))))
    order = list(candidates)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            call = candidates[name]
            n = repeat[name]
            for _ in range(min(n, 4)):
                call()
            start = time.perf_counter()
            for _ in range(n):
                call()
            times[name].append((time.perf_counter() - start) / n * 1e6)
    return {name: statistics.median(t) for name, t in times.items()}


def peer(name: str) -> Any:
    """A peer's module, or None with a line that says so."""
    try:
        return __import__(name)
    except ImportError:
        print(f"{name} is not installed: its column is missing")
        return None


class Peers:
    """The candidates of a case, over the same operands."""

    def __init__(self, torch: Any, np: Any, rt: Any, inductor: bool) -> None:
        self.torch, self.np, self.rt, self.inductor = torch, np, rt, inductor
        self.jax, self.numexpr, self.numba = peer("jax"), peer("numexpr"), peer("numba")
        if self.numexpr:
            self.numexpr.set_num_threads(1)
        g = torch.Generator().manual_seed(0)
        self.operands = {
            "x": torch.randn(1024, 1024, generator=g),
            "y": torch.randn(1024, 1024, generator=g),
            "z": torch.randn(1024, 1024, generator=g),
            "w": torch.randn(1024, generator=g),
            "b": torch.randn(1024, generator=g),
            "t": torch.randint(0, 1024, (1024,), generator=g),
            "n3": torch.randn(1 << 20, 3, generator=g),
            "v3": torch.randn(3, generator=g),
            "h": torch.randn(1024, 1024, generator=g).bfloat16(),
            "d": torch.randn(1024, 1024, generator=g).double(),
        }

    def of(self, case: Case) -> dict[str, Call]:
        """Ours first."""
        names = case.args.split()
        tensors = [self.operands[n] for n in names]
        ours = self.rt.expr(case.text)
        out: dict[str, Call] = {"ours": lambda: ours(*tensors), "eager": lambda: case.torch(*tensors)}
        if self.inductor:
            self.torch._dynamo.reset()
            compiled = self.torch.compile(case.torch, dynamic=False)
            out["inductor"] = lambda: compiled(*tensors)
        if any(t.dtype == self.torch.bfloat16 for t in tensors):
            return out
        arrays = [t.numpy() for t in tensors]
        if case.numpy:
            out["numpy"] = lambda: case.numpy(*arrays)
        if self.jax and case.jax:
            jitted = self.jax.jit(case.jax)
            on_device = [self.jax.numpy.asarray(a) for a in arrays]
            out["jax"] = lambda: jitted(*on_device).block_until_ready()
        if self.numexpr and case.numexpr:
            local = dict(zip(names, arrays, strict=True))
            out["numexpr"] = lambda: self.numexpr.evaluate(case.numexpr, local_dict=local)
        if self.numba and case.name.startswith("relu"):
            out["numba"] = self._numba_relu(*arrays)
        return out

    def _numba_relu(self, x: Any, w: Any, b: Any) -> Call:
        zero = self.np.float32(0)

        @self.numba.njit(fastmath=False)
        def f(x: Any, w: Any, b: Any, out: Any) -> Any:
            for i in range(x.shape[0]):
                for j in range(x.shape[1]):
                    out[i, j] = max(x[i, j] * w[j] + b[j], zero)
            return out

        out = self.np.empty_like(x)
        return lambda: f(x, w, b, out)


def verify(torch: Any, np: Any, case: Case, candidates: dict[str, Call]) -> None:
    """Refuses to time results that differ."""

    def result(call: Call) -> Any:
        r = call()
        return r.double().numpy() if isinstance(r, torch.Tensor) else np.asarray(r, dtype=np.float64)

    results = {name: result(call) for name, call in candidates.items()}
    ours = results.pop("ours")
    for name, other in results.items():
        worst = float(np.max(np.abs(ours - other)))
        if not worst <= case.tolerance:
            raise SystemExit(f"{case.name}: results differ from {name} by {worst}")


def call_overhead(torch: Any, np: Any, rt: Any, rounds: int) -> dict[str, dict[str, float]]:
    """A fused call on 16 elements."""
    s = [torch.randn(16) for _ in range(3)]
    sn = [t.numpy() for t in s]
    small = rt.expr("relu(x*w + b)")
    zero = np.float32(0)
    return {
        "16 elements, torch": take_turns(
            {"ours": lambda: small(*s), "eager": lambda: torch.relu(s[0] * s[1] + s[2])}, rounds
        ),
        "16 elements, numpy": take_turns(
            {"ours": lambda: small(*sn), "numpy": lambda: np.maximum(sn[0] * sn[1] + sn[2], zero)}, rounds
        ),
    }


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


def compile_times() -> list[float]:
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
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--record", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--no-inductor", action="store_true", help="leave torch.compile out (it needs g++)")
    parser.add_argument("only", nargs="*", metavar="CASE", help="cases by name; all when none is given")
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
    peers = Peers(torch, np, rt, not args.no_inductor)
    print("float32, 1 thread, medians in microseconds, candidates taking turns\n")
    record: dict[str, Any] = {"cpu": cpu_name(), "isa": isa, "torch": torch.__version__, "cases": {}}
    ratios = {}
    for case in cases(torch, np, peers.jax):
        if args.only and case.name not in args.only:
            continue
        candidates = peers.of(case)
        verify(torch, np, case, candidates)
        times = take_turns(candidates, args.rounds)
        others = {k: v for k, v in times.items() if k != "ours"}
        best = min(others, key=lambda k: others[k])
        ratios[case.name] = others[best] / times["ours"]
        record["cases"][case.name] = times
        shown = "  ".join(f"{k} {v:8.1f}" for k, v in times.items())
        print(f"{case.name:<24} {ratios[case.name]:5.2f}x the best ({best}) {case.target:<18} {shown}", flush=True)
    values = sorted(ratios.values())
    mean = math.exp(statistics.fmean(map(math.log, values)))
    print(
        f"\nover the best peer: geometric mean {mean:.2f}x, "
        f"median {statistics.median(values):.2f}x, worst {values[0]:.2f}x"
    )
    record["over_the_best"] = {"geometric_mean": mean, "median": statistics.median(values), "worst": values[0]}
    if not args.only:
        for name, times in call_overhead(torch, np, rt, args.rounds).items():
            record["cases"][name] = times
            print(f"{name:<24} " + "  ".join(f"{k} {v:8.2f}" for k, v in times.items()))
        rt.set_num_threads(2)
        two = threads(torch, rt, args.rounds)
        record["cases"]["gelu, 4M"] = two
        speedup = two["1 thread"] / two["2 threads"]
        print(f"{'gelu, 4M elements':<24} {two['1 thread']:8.0f} on 1 thread, {speedup:.2f}x on 2   >= 1.7x")
        compile_ms = sorted(compile_times())
        if compile_ms:
            median = statistics.median(compile_ms)
            record["compile_ms"] = {"median": median, "worst": compile_ms[-1], "rows": len(compile_ms)}
            print(f"compile: median {median:.2f} ms, worst {compile_ms[-1]:.2f} ms over {len(compile_ms)} rows")
    if args.record:
        args.record.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
