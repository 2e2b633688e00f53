"""What torch and NumPy make of blocks of f32 bit patterns, for ``ulp``, which starts this program.

    python ulp_peers.py BLOCK STRIDE

A line of JSON with versions comes first. Then, for every line read, a JSON list of expressions of ``x``, ``torch`` and
``numpy``: for each block of BLOCK patterns, STRIDE apart, in order, the block's number and the raw results of every
expression.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy
import torch


def function(expression: str) -> Callable[[Any], Any]:
    """The expression as a function of a NumPy array that gives one."""
    code = compile(expression, "<peer>", "eval")
    if expression.startswith("torch"):
        return lambda x: eval(code, {"torch": torch, "x": torch.from_numpy(x)}).numpy()
    return lambda x: eval(code, {"numpy": numpy, "x": x})


def main() -> None:
    block, stride = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    numpy.seterr(all="ignore")
    versions = {
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
    }
    steps = numpy.arange(block, dtype=numpy.uint32) * numpy.uint32(stride)
    out = sys.stdout.buffer
    # Blocks wait for the reader in the pipe: on a busy machine each of its 64 KiB would be a switch between processes.
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 1 << 20)  # As much as a user may have.
    out.write(json.dumps(versions).encode() + b"\n")
    out.flush()
    for line in sys.stdin:
        functions = [function(e) for e in json.loads(line)]
        for number, first in enumerate(range(0, 1 << 32, block * stride)):
            out.write(numpy.uint64(number).tobytes())
            x = (steps[: -((first - (1 << 32)) // stride)] + numpy.uint32(first)).view(numpy.float32)
            for f in functions:
                result = f(x)
                if result.dtype != numpy.float32 or result.shape != x.shape:
                    sys.exit(f"{line} gave {result.dtype}")
                out.write(numpy.ascontiguousarray(result).data)
        out.flush()


if __name__ == "__main__":
    main()
