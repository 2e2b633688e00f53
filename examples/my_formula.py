"""My formula: an unchanged NumPy function under ``@rt.fuse``, beside numpy, numexpr and numba.

For each: the first call, with all that is compiled for it, the best of the calls after it, and the largest error
against the same function in float64. One thread each; candidates that are not installed are named as missing.

    python examples/my_formula.py [--elements N] [--seconds S]
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rusttorch as rt

Call = Callable[[Any, Any], Any]


def formula(x: Any, y: Any) -> Any:
    """Any function of arrays; this one has no branch in which rounding errors could cancel out."""
    return np.tanh(x) * np.exp(-0.5 * y * y) / (1 + x * x)


TEXT = "tanh(x) * exp(-half * y * y) / (one + x * x)"


def with_rusttorch() -> Call:
    """The function as it is."""
    rt.set_num_threads(1)
    return rt.fuse(formula)


def with_numexpr() -> Call:
    """The same as a text; its literals would be float64."""
    numexpr = importlib.import_module("numexpr")
    numexpr.set_num_threads(1)
    constants = {"half": np.float32(0.5), "one": np.float32(1)}
    return lambda x, y: numexpr.evaluate(TEXT, local_dict={"x": x, "y": y, **constants})


def with_numba() -> Call:
    """The function as it is, per element: a loop over arrays without temporaries."""
    numba = importlib.import_module("numba")
    compiled: list[Call] = []

    def call(x: Any, y: Any) -> Any:
        if not compiled:
            compiled.append(numba.vectorize(["float32(float32, float32)"])(formula))
        return compiled[0](x, y)

    return call


CANDIDATES: dict[str, Callable[[], Call]] = {
    "numpy": lambda: formula,
    "rusttorch": with_rusttorch,
    "numexpr": with_numexpr,
    "numba": with_numba,
}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it gave."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def ulps(result: Any, exact: Any) -> float:
    """The largest error in units of the last place of the float32 nearest to the exact value."""
    spacing = np.spacing(np.abs(exact.astype(np.float32))).astype(np.float64)
    return float(np.max(np.abs(result.astype(np.float64) - exact) / spacing))


def main(argv: list[str] | None = None) -> None:
    """Runs every candidate and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=2_000_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long warm calls are measured, per candidate")
    options = parser.parse_args(argv)

    rng = np.random.default_rng(0)
    x, y = rng.uniform(-4, 4, (2, options.elements)).astype(np.float32)
    exact = formula(x.astype(np.float64), y.astype(np.float64))
    calls, first, worst, missing = {}, {}, {}, []
    for name, make in CANDIDATES.items():
        try:
            calls[name] = call = make()
        except ImportError:
            missing.append(name)
            continue
        first[name], result = timed(lambda call=call: call(x, y))  # type: ignore[misc]
        assert result.dtype == np.float32, (name, result.dtype)
        worst[name] = ulps(result, exact)
    # They take turns, so that a busy machine is busy for all.
    warm = dict.fromkeys(calls, float("inf"))
    end = time.perf_counter() + options.seconds * len(calls)
    while time.perf_counter() < end:
        for name, call in calls.items():
            warm[name] = min(warm[name], timed(lambda call=call: call(x, y))[0])  # type: ignore[misc]

    print(f"tanh(x) * exp(-0.5*y*y) / (1 + x*x), {options.elements} float32, one thread\n")
    print(f"{'':10} {'first call':>12} {'warm call':>12} {'speed-up':>9} {'max error':>11}")
    for name in calls:
        print(
            f"{name:10} {first[name] * 1e3:9.2f} ms {warm[name] * 1e3:9.3f} ms {warm['numpy'] / warm[name]:8.2f}x"
            f" {worst[name]:7.2f} ULP"
        )
    for name in missing:
        print(f"{name:10} missing: not installed")


if __name__ == "__main__":
    main()
