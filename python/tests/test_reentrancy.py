"""Code of the user's that runs while arguments are being converted may change arrays that were looked at before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import rusttorch as rt


class Meddler:
    """Converts to ones, and does something else meanwhile."""

    def __init__(self, meddle: Callable[[], object], shape: tuple[int, ...]) -> None:
        self.meddle = meddle
        self.shape = shape

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        self.meddle()
        return np.ones(self.shape, np.float32)


def churn() -> None:
    """Takes and fills blocks of many sizes, so that freed memory holds something else."""
    blocks = [np.full(n, 7, np.int64) for n in range(1, 400)]
    del blocks


def test_a_reshaped_array_is_seen_as_it_is() -> None:
    add = rt.expr("a + b")
    for _ in range(20):
        a = np.arange(24, dtype=np.float32)

        def reshape(a: np.ndarray = a) -> None:
            # The old extents are freed and their memory is used again.
            a.shape = (2, 3, 4)
            churn()

        got = add(a, Meddler(reshape, (4,)))
        assert got.shape == (2, 3, 4)
        np.testing.assert_array_equal(got, a + 1)


def test_a_resized_array_is_read_where_it_is() -> None:
    add = rt.expr("a + b")
    for _ in range(5):
        a = np.ones(1 << 20, np.float32)

        def resize(a: np.ndarray = a) -> None:
            a.resize(4, refcheck=False)
            churn()

        np.testing.assert_array_equal(add(a, Meddler(resize, (1,))), np.full(4, 2, np.float32))


def test_a_shrunk_array_does_not_broadcast_as_before() -> None:
    a = np.ones(1 << 20, np.float32)
    with pytest.raises(RuntimeError, match="must match"):
        rt.expr("a + b")(a, Meddler(lambda: a.resize(5, refcheck=False), (1 << 20,)))


def test_matmul_reads_the_new_memory() -> None:
    a = np.ones((512, 512), np.float32)
    got = rt.matmul(a, Meddler(lambda: a.resize((2, 2), refcheck=False), (2, 2)))
    np.testing.assert_array_equal(got, np.full((2, 2), 2, np.float32))


def test_an_emptied_tensor_is_refused() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(1 << 20)
    with pytest.raises(RuntimeError, match=r"storage|memory"):
        rt.expr("a + b")(x, Meddler(lambda: x.untyped_storage().resize_(0), (1,)))
    y = torch.ones(64, 64)
    y_plus = rt.expr("a + b")(y, Meddler(lambda: y.set_(torch.full((3,), 5.0)), (1,)))
    assert y_plus.tolist() == [6.0, 6.0, 6.0]


def test_a_result_may_not_meddle_either() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(1 << 20)

    class Out(torch.Tensor):
        @property
        def requires_grad(self) -> bool:
            x.untyped_storage().resize_(0)
            return False

    with pytest.raises((RuntimeError, TypeError)):
        rt.expr("a + a")(x, out=torch.empty(1 << 20).as_subclass(Out))


def test_a_process_forked_beside_torch_computes() -> None:
    script = """
import os, signal, sys
import torch
import rusttorch as rt

rt.set_num_threads(2)
x, double = torch.rand(1000, 1000), rt.expr("x * 2")
double(x)
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if float(double(x)[-1, -1]) == 2 * float(x[-1, -1]) else 1)
sys.exit(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
