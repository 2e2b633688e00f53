"""Checked by mypy, not run: what users' type checkers see."""

from typing import Any

import numpy as np
import rusttorch as rt
from numpy.typing import NDArray
from typing_extensions import assert_type


def arrays(x: NDArray[np.float32]) -> None:
    assert_type(rt.gelu(x), NDArray[Any])
    assert_type(rt.gelu(x, approximate="tanh"), NDArray[Any])
    assert_type(rt.add(x, 1.0), NDArray[Any])
    assert_type(rt.sub(1.0, x), NDArray[Any])
    assert_type(rt.where(x > 0, x, 0.0), NDArray[Any])
    assert_type(rt.softmax(x, -1), NDArray[Any])


@rt.fuse
def fused(x: NDArray[np.float32], k: float) -> NDArray[np.float32]:
    return np.multiply(x, k, dtype=np.float32)


@rt.fuse(static_argnames="flag")
def fused_static(x: NDArray[np.float32], flag: bool) -> NDArray[np.float32]:
    return x if flag else -x


def functions(x: NDArray[np.float32]) -> None:
    assert_type(fused(x, 2.0), NDArray[np.float32])
    assert_type(fused_static(x, flag=True), NDArray[np.float32])
    assert_type(rt.expr("a + b").args, tuple[str, ...])
