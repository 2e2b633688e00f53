"""Random programs on tensors of rusttorch and of torch: operations, views, in-place operations, lending and forced
evaluation at random points give the same values, layouts and errors.

Every program runs once more with each operation computed when it is called: laziness shows in no bit.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
UNARY = ["neg", "abs", "exp", "sigmoid", "relu", "sqrt", "sin", "floor", "square", "logical_not", "sign", "tanh"]
BINARY = ["add", "sub", "mul", "maximum", "lt", "eq", "atan2", "logical_and", "bitwise_xor", "true_divide", "minimum"]
REDUCE = ["sum", "mean", "amax", "argmin", "any", "prod", "softmax", "logsumexp", "var"]


def data(rng: random.Random, shape: list[int], dtype: str) -> np.ndarray:
    """Values that few functions make infinite."""
    n = int(np.prod(shape))
    values = [rng.randint(0, 1) if dtype == "bool" else rng.randint(-4 * (dtype != "uint8"), 8) for _ in range(n)]
    array = np.array(values, dtype).reshape(shape)
    return array / 4 + 0.125 if array.dtype.kind == "f" else array


def apart(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Operands that partly overlap what is written: torch refuses them or gives anything; we read them first."""
    return y.clone() if x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr() else y


class Program:
    """The tensors of one run, each of ours beside torch's."""

    def __init__(self, seed: int, force: bool) -> None:
        self.rng = random.Random(seed)
        self.force = force
        self.pairs: list[tuple[Any, Any]] = []
        self.log: list[str] = []

    def pick(self) -> tuple[Any, Any]:
        return self.rng.choice(self.pairs)

    def both(self, name: str, ours: Any, theirs: Any) -> None:
        """Runs a step on both sides; a result joins the tensors."""
        self.log.append(name)
        results, errors = [], []
        for side in (theirs, ours):
            try:
                results.append(side())
                errors.append(None)
            except Exception as e:
                results.append(None)
                errors.append(e)
        expected, got = errors
        if expected is not None or got is not None:
            same = type(expected) is type(got)
            # torch raises RuntimeError where it has no kernel for a dtype.
            same |= isinstance(got, NotImplementedError) and isinstance(expected, (RuntimeError, NotImplementedError))
            same |= isinstance(expected, NotImplementedError) and isinstance(got, RuntimeError)
            assert same, f"torch: {expected!r}\nrusttorch: {got!r}"
            return
        if isinstance(results[0], torch.Tensor):
            if self.force:
                rt.eval(results[1])
            self.pairs.append((results[1], results[0]))

    def step(self) -> None:
        """One random step."""
        kind = self.rng.choice(["new", "unary", "binary", "binary", "number", "reduce", "view", "view", "view",
                                "inplace", "inplace", "set", "index", "mask", "lend", "eval", "drop"])  # fmt: skip
        if not self.pairs or len(self.pairs) < 3:
            kind = "new"
        if len(self.pairs) > 12:
            kind = "drop"
        getattr(self, kind)()

    def new(self) -> None:
        shape = [self.rng.choice([1, 2, 3, 4, 0] if self.rng.random() < 0.1 else [1, 2, 3, 4])
                 for _ in range(self.rng.randint(0, 3))]  # fmt: skip
        array = data(self.rng, shape, self.rng.choice(["float32", "float32", *DTYPES]))
        self.both("new", lambda: rt.tensor(array), lambda: torch.tensor(array))

    def unary(self) -> None:
        (a, b), op = self.pick(), self.rng.choice(UNARY)
        self.both(op, lambda: getattr(rt, op)(a), lambda: getattr(torch, op)(b))

    def binary(self) -> None:
        (a, b), (c, d), op = self.pick(), self.pick(), self.rng.choice(BINARY)
        if op == "sub" and torch.bool in (b.dtype, d.dtype):
            return
        self.both(op, lambda: getattr(rt, op)(a, c), lambda: getattr(torch, op)(b, d))

    def number(self) -> None:
        (a, b), op = self.pick(), self.rng.choice(["add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "ge"])
        n = self.rng.choice([2, 0.5, 1.5, 3])
        if op == "sub" and b.dtype is torch.bool:
            return
        flip = self.rng.random() < 0.2 and op != "pow"
        name = f"__{op}__"

        def run(x: Any) -> Any:
            import operator

            f = getattr(operator, name)
            return f(n, x) if flip else f(x, n)

        self.both(f"{n} {op}", lambda: run(a), lambda: run(b))

    def reduce(self) -> None:
        (a, b), op = self.pick(), self.rng.choice(REDUCE)
        dim = self.rng.randint(-1, max(b.dim() - 1, 0))
        if b.numel() == 0 or (op in ("softmax", "logsumexp") and not b.is_floating_point()):
            return
        # torch's softmax is row-major.
        tidy = (lambda x: x.contiguous()) if op == "softmax" else (lambda x: x)
        self.both(f"{op} {dim}", lambda: tidy(getattr(rt, op)(a, dim)), lambda: tidy(getattr(torch, op)(b, dim)))

    def view(self) -> None:
        a, b = self.pick()
        r = self.rng
        rank = b.dim()
        kind = r.choice(["T", "transpose", "permute", "reshape", "view", "squeeze", "unsqueeze", "expand", "narrow",
                         "select", "slice", "flatten", "none", "contiguous", "clone"])  # fmt: skip
        if rank == 0 and kind == "permute":
            return
        i, j, n = r.randint(-2, 2), r.randint(-2, 2), r.randint(0, 3)
        perm = r.sample(range(rank), rank)
        shape = r.choice([[-1], [b.numel()], [1, -1], [2, -1], [-1, 3]])
        sizes = [r.randint(1, 3)] + [s if s != 1 else r.randint(1, 3) for s in b.shape]
        step = r.randint(1, 3)

        def run(x: Any) -> Any:
            match kind:
                case "T":
                    return x.mT
                case "transpose":
                    return x.transpose(i, j)
                case "permute":
                    return x.permute(*perm)
                case "reshape" | "view":
                    return getattr(x, kind)(*shape)
                case "squeeze":
                    return x.squeeze(i) if n else x.squeeze()
                case "unsqueeze":
                    return x.unsqueeze(i)
                case "expand":
                    return x.expand(*sizes)
                case "narrow":
                    return x.narrow(i, j, n)
                case "select":
                    return x.select(i, j)
                case "slice":
                    return x[i : None if n == 3 else j : step]
                case "flatten":
                    return x.flatten(n and i)
                case "none":
                    return x[..., None, j : j + 2] if rank else x[..., None]
                case _:
                    return getattr(x, kind)()

        self.both(kind, lambda: run(a), lambda: run(b))

    def inplace(self) -> None:
        (a, b), (c, d) = self.pick(), self.pick()
        kind = self.rng.choice(["add_", "mul_", "iadd", "copy_", "fill_", "zero_", "exp_", "out"])
        n = self.rng.choice([2, 0.5])
        # Beyond what integers hold, conversions differ.
        if kind in ("mul_", "copy_", "add_", "iadd") and b.dtype is not d.dtype:
            kind = "fill_"

        def run(x: Any, y: Any, add: Any) -> Any:
            if kind in ("add_", "mul_", "copy_"):
                getattr(x, kind)(y)
            elif kind == "iadd":
                x += y
            elif kind == "fill_":
                x.fill_(n)
            elif kind == "out":
                add(x, 1, out=x)
            else:
                getattr(x, kind)()

        self.both(f"{kind} {n}", lambda: run(a, c, rt.add), lambda: run(b, apart(b, d), torch.add))

    def set(self) -> None:
        (a, b), (c, d) = self.pick(), self.pick()
        i, j = self.rng.randint(-2, 2), self.rng.randint(-3, 3)
        n = self.rng.random() < 0.5
        if not n and b.dtype is not d.dtype:
            return

        def run(x: Any, y: Any) -> None:
            x[i:j] = 1 if n else y

        self.both("set", lambda: run(a, c), lambda: run(b, apart(b, d)))

    def index(self) -> None:
        a, b = self.pick()
        rows = [self.rng.randint(-2, 2) for _ in range(self.rng.randint(1, 3))]
        kind = self.rng.randint(0, 3)
        value = self.rng.randint(0, 2)
        if b.dim() == 0 or b.numel() == 0 or 0 in b.stride():
            return

        def run(x: Any, lib: Any) -> Any:
            at = lib.tensor(rows)
            match kind:
                case 0:
                    return x[at].contiguous()
                case 1:
                    return x[:, rows].contiguous()
                case 2:
                    return x.index_select(0, at)
            # Equal rows would be written in any order.
            x[lib.tensor(rows[:1])] = value
            return None

        self.both(f"index {kind} {rows}", lambda: run(a, rt), lambda: run(b, torch))

    def mask(self) -> None:
        a, b = self.pick()
        kind = self.rng.randint(0, 1)

        def run(x: Any) -> Any:
            if kind:
                return x[x > 1].clone()
            x[x > 1] = 1
            return None

        self.both(f"mask {kind}", lambda: run(a), lambda: run(b))

    def lend(self) -> None:
        a, b = self.pick()
        write = self.rng.random() < 0.5 and b.numel()
        self.log.append(f"lend {write}")
        ours, theirs = a.numpy(), b.numpy()
        assert ours.strides == theirs.strides or b.numel() == 0 or 1 in b.shape
        if write and 0 not in b.stride():
            ours.flat[0] = theirs.flat[0] = 1

    def eval(self) -> None:
        self.log.append("eval")
        rt.eval(self.pick()[0])

    def drop(self) -> None:
        self.log.append("drop")
        self.pairs.pop(self.rng.randrange(len(self.pairs)))

    def check(self) -> None:
        """All tensors agree."""
        for a, b in self.pairs:
            assert (a.shape, str(a.dtype).split(".")[1]) == (tuple(b.shape), str(b.dtype).split(".")[1])
            if b.numel() > 1:
                strides = [(x, y) for x, y, n in zip(a.stride(), b.stride(), b.shape, strict=True) if n != 1]
                assert all(x == y for x, y in strides), (a.stride(), b.stride(), b.shape)
            ours = np.array(a.tolist(), "float64")
            theirs = b.double().numpy()
            np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=2e-5, atol=1e-6)


def run(seed: int, force: bool) -> list[np.ndarray]:
    """The tensors' bits at the end."""
    program = Program(seed, force)
    try:
        with np.errstate(all="ignore"):
            for i in range(40):
                program.step()
                if i % 13 == 12:
                    program.check()
            program.check()
    except AssertionError as e:
        raise AssertionError(f"seed {seed}, force {force}: {', '.join(program.log)}\n{e}") from None
    return [np.array(a) for a, _ in program.pairs]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(4))
def test_random_programs(block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        lazy, eager = run(seed, False), run(seed, True)
        for a, b in zip(lazy, eager, strict=True):
            assert a.tobytes() == b.tobytes() or np.array_equal(a, b, equal_nan=True), f"seed {seed}: bits differ"


def test_memory_lent_by_another_thread_during_a_call() -> None:
    """What is written to the array after the call does not change the call's result, which must not wait any more."""
    big = rt.zeros(1 << 22)
    rt.eval(big)
    for _ in range(10):
        x = rt.ones(1000)
        rt.eval(x)
        sealed = (rt.sin(big) * 2).sum()
        lent: list[np.ndarray] = []
        thread = threading.Thread(target=lambda x=x, lent=lent: (time.sleep(0.0005), lent.append(x.numpy())))
        thread.start()
        z = x + sealed  # Runs what waits for `big` first; meanwhile `x` is lent.
        thread.join()
        lent[0][:] = 1000
        assert z[0].item() == 1
