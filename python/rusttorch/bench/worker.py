"""The process that measures with one number of threads. It reads a request from standard input and writes a line of
JSON per event to standard output; what libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any

import rusttorch as rt


def compile_times() -> list[float]:
    """Milliseconds to compile each op of one operand at float32, as a formula of its own."""
    import numpy as np

    from rusttorch import _names

    x = np.linspace(0.1, 0.9, 64, dtype=np.float32)
    result = []
    for name in _names.ops():
        before = rt.stats()["kernels"]
        try:
            rt.expr(f"{name}(x)")(x)
        except Exception:  # Ops of other operands.
            continue
        after = rt.stats()["kernels"]
        if after["compiles"] > before["compiles"]:
            result.append(after["compile_ms"] - before["compile_ms"])
    return sorted(result)


def main() -> int:
    """Answers one request."""
    request = json.load(sys.stdin)
    # Libraries that print may not come between.
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def tell(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=events, flush=True)

    if request["plan"] == "compile":
        tell("compile", milliseconds=[round(t, 4) for t in compile_times()])
        return 0

    from rusttorch.bench.cases import CASES
    from rusttorch.bench.environment import available_memory
    from rusttorch.bench.peers import Peers
    from rusttorch.bench.timing import Effort, WrongResult, run

    started = time.monotonic()
    peers = Peers(request["peers"], request["threads"])
    tell("start", isa=rt.stats()["isa"], versions=peers.versions(), missing=peers.missing)
    by_name = {case.name: case for case in CASES}
    left_out: list[dict[str, Any]] = []
    for name, n in request["plan"]:
        # Three operands, results, and each peer's intermediate ones.
        needed = 4 * n * 20
        if request["seconds"] and time.monotonic() - started > request["seconds"]:
            left_out.append({"name": name, "elements": n, "why": "time is up"})
        elif needed > available_memory():
            left_out.append({"name": name, "elements": n, "why": "memory"})
        else:
            try:
                tell("case", **run(peers, by_name[name], n, Effort(**request["effort"]), request["clock"]))
            except WrongResult as error:
                tell("wrong", message=str(error))
                return 1
    tell("end", left_out=left_out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
