"""``python -m rusttorch.demo``: what this package does, in under a minute, on this machine.

Shows results beside NumPy (and torch where it is installed) and the time of each, the first call, which
compiles, included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rusttorch as rt


def best(call: Callable[[], Any], seconds: float = 0.3) -> float:
    """The fastest of many calls, in seconds."""
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def swiglu(a: Any, b: Any) -> Any:
    """A function as anyone would write it."""
    return a / (1 + np.exp(-a)) * b


def compare(title: str, ours: Callable[[], Any], theirs: Callable[[], Any], name: str) -> None:
    """Runs both, compares the results, prints the times."""
    start = time.perf_counter()
    result = ours()
    first = time.perf_counter() - start
    worst = float(np.max(np.abs(np.asarray(result) - np.asarray(theirs()))))
    mine, other = best(ours), best(theirs)
    print(
        f"{title:<36} {name} {other * 1e6:9.1f} us   rusttorch {mine * 1e6:9.1f} us   {other / mine:5.1f}x"
        f"   first call {first * 1e3:.1f} ms   largest difference {worst:.1e}"
    )


def main() -> None:
    """The demonstration."""
    print(rt.show_config(), "\n")
    rng = np.random.default_rng(0)
    fused = rt.fuse(swiglu)
    for n in (1_000, 1_000_000):
        a, b = rng.standard_normal((2, n)).astype(np.float32)
        compare(f"@rt.fuse swiglu, {n:,} float32", lambda: fused(a, b), lambda: swiglu(a, b), "numpy")  # noqa: B023
    compare(
        f'rt.evaluate("a * 2 + b * b"), {n:,}',
        lambda: rt.evaluate("a * 2 + b * b", a=a, b=b),
        lambda: a * 2 + b * b,
        "numpy",
    )
    try:
        import torch
    except ImportError:
        print("\ntorch is not installed here; with it, the same functions take and give torch tensors.")
    else:
        x, y = torch.from_numpy(a), torch.from_numpy(b)

        @rt.fuse
        def body(x: Any, y: Any) -> Any:
            return torch.nn.functional.silu(x) * y

        with torch.no_grad():
            compare(
                f"F.silu(x) * y, {n:,} float32", lambda: body(x, y), lambda: torch.nn.functional.silu(x) * y, "torch"
            )
    kernel = rt.inspect("a * sigmoid(a) * b", a, b).kernel
    print("\nThe kernel of a * sigmoid(a) * b:\n" + "\n".join(kernel.splitlines()[:12]) + "\n  ...")
    print("\n" + str(rt.stats()))


if __name__ == "__main__":
    main()
