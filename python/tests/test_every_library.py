"""Every way to call something, with arrays of NumPy, tensors of torch and tensors of our own: the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import rusttorch.nn.functional as F
import torch

RNG = np.random.default_rng(0)
X, Y = (RNG.random((4, 6)).astype(np.float32) + 0.1 for _ in range(2))
B = RNG.random(6).astype(np.float32)
T = np.array([0, 3, 1, 5])
LIBRARIES: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": lambda a: a.copy(),
    "torch": lambda a: torch.from_numpy(a.copy()),
    "own": lambda a: rt.as_tensor(a.copy()),
}
swish_like = rt.register("swish_like(x, k=2.0) = x * k + sigmoid(x)")


def empty_like(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return np.empty_like(x)
    return torch.empty_like(x) if isinstance(x, torch.Tensor) else rt.empty_like(x)


def gated(x: Any) -> Any:
    a, b = x.chunk(2, -1)
    return a * rt.silu(b)


def square(x: Any) -> Any:
    return (x * x).sum()


# Of two matrices, indices of classes, and a vector.
CALLS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "expr": lambda x, y, t, b: rt.expr("x * y + b")(x, y, b),
    "expr, results": lambda x, y, t, b: rt.expr("x * y, sum(x + y, 1), mean(x)")(x, y),
    "expr, keywords": lambda x, y, t, b: rt.expr("x * y + b")(x, b=b, y=y),
    "expr, numbers": lambda x, y, t, b: rt.expr("x * y + b")(x, 2.0, 3),
    "expr, out": lambda x, y, t, b: rt.expr("x * y")(x, y, out=empty_like(x)),
    "expr, in place": lambda x, y, t, b: rt.expr("x * y")(x, y, out=x),
    "expr, contract": lambda x, y, t, b: rt.expr("x * y + b", contract=True)(x, y, b),
    "evaluate": lambda x, y, t, b: rt.evaluate("softmax(x * y, 1) + b", {"x": x, "y": y, "b": b}),
    "fuse": lambda x, y, t, b: rt.fuse(lambda x, y: rt.gelu(x * y + 1).sum(0))(x, y),
    "fuse, dicts": lambda x, y, t, b: rt.fuse(lambda p: {"a": p["x"] + 1, "b": [p["y"] * 2]})({"x": x, "y": y}),
    "fuse, closure": lambda x, y, t, b: rt.fuse(lambda x: x * y + b)(x),
    "fuse, static": lambda x, y, t, b: rt.fuse(lambda x, n: x**n, static_argnames="n")(x, 3),
    "fuse, out": lambda x, y, t, b: rt.fuse(lambda x, y: x * y)(x, y, out=empty_like(x)),
    "fuse, views": lambda x, y, t, b: rt.fuse(lambda x: x[1:, ::2].T.reshape(-1) * 2)(x),
    "fuse, chunk": lambda x, y, t, b: rt.fuse(gated)(x),
    "fuse, layer_norm": lambda x, y, t, b: rt.fuse(lambda x, b: F.layer_norm(x, [6], b, b))(x, b),
    "fuse, cross_entropy": lambda x, y, t, b: rt.fuse(lambda x, t: F.cross_entropy(x, t))(x, t),
    "value_and_grad": lambda x, y, t, b: rt.value_and_grad(lambda x: (x * y).sum())(x),
    "value_and_grad, two": lambda x, y, t, b: rt.value_and_grad(lambda x, y: rt.tanh(x * y).mean(), (0, 1))(x, y),
    "value_and_grad, loss": lambda x, y, t, b: rt.value_and_grad(
        lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1)
    )(x, t),
    "value_and_grad, aux": lambda x, y, t, b: rt.value_and_grad(lambda x: (square(x), x + 1), has_aux=True)(x),
    "func.grad": lambda x, y, t, b: rt.func.grad(square)(x),
    "func.grad_and_value": lambda x, y, t, b: rt.func.grad_and_value(square)(x[1:, ::2]),
    "register": lambda x, y, t, b: swish_like(x, 3.0),
    "register, expr": lambda x, y, t, b: rt.expr("swish_like(x) + 1")(x),
    "register, fuse": lambda x, y, t, b: rt.fuse(lambda x: swish_like(x, k=0.5) + 1)(x),
    "register, gradient": lambda x, y, t, b: rt.value_and_grad(lambda x: swish_like(x).sum())(x),
    "moments": lambda x, y, t, b: rt.expr("m2 = 0.9 * m + 0.1 * g; p - 0.01 * m2, m2")(g=x, m=y, p=x),
    "max": lambda x, y, t, b: tuple(rt.max(x, 1)),
    "topk": lambda x, y, t, b: tuple(rt.topk(x, 3)),
    "sort": lambda x, y, t, b: tuple(rt.sort(x, 1)),
    "median": lambda x, y, t, b: tuple(rt.median(x, 1)),
    "var_mean": lambda x, y, t, b: tuple(rt.var_mean(x, 1)),
    "frexp": lambda x, y, t, b: tuple(rt.frexp(x)),
    "cumsum": lambda x, y, t, b: rt.cumsum(x, 1),
    "cat": lambda x, y, t, b: rt.cat([x, y], 1),
    "matmul": lambda x, y, t, b: rt.matmul(x, y.T),
    "einsum": lambda x, y, t, b: rt.einsum("ij,kj->ik", x, y),
    "quantile": lambda x, y, t, b: rt.quantile(x, 0.3, 1),
    "where": lambda x, y, t, b: rt.where(x > y, x, y),
    "clamp": lambda x, y, t, b: rt.clamp(x, y * 0.5, y),
    "norm": lambda x, y, t, b: rt.norm(x, dim=1),
    "gather": lambda x, y, t, b: rt.gather(x, 0, t.reshape(1, 4) % 4),
    "index_select": lambda x, y, t, b: rt.index_select(x, 1, t),
    "scatter": lambda x, y, t, b: rt.scatter(x, 1, t.reshape(4, 1), 9.0),
    "unique": lambda x, y, t, b: rt.unique(t),
    "isin": lambda x, y, t, b: rt.isin(t, t[:2]),
    "bincount": lambda x, y, t, b: rt.bincount(t),
    "searchsorted": lambda x, y, t, b: rt.searchsorted(rt.sort(b)[0], x[0]),
    "cdist": lambda x, y, t, b: rt.cdist(x, y),
    "outer": lambda x, y, t, b: rt.outer(b, b),
    "roll": lambda x, y, t, b: rt.roll(x, 2, 1),
    "trapezoid": lambda x, y, t, b: rt.trapezoid(x, dim=1),
    "F.nll_loss": lambda x, y, t, b: F.nll_loss(F.log_softmax(x, 1), t),
    "F.cross_entropy": lambda x, y, t, b: F.cross_entropy(x, t, weight=b, ignore_index=3),
    "F.binary_cross_entropy": lambda x, y, t, b: F.binary_cross_entropy(x / 2, y / 2),
    "F.batch_norm": lambda x, y, t, b: F.batch_norm(x, b * 0, b, training=True),
    "F.group_norm": lambda x, y, t, b: F.group_norm(x.reshape(2, 6, 2), 3),
    "F.rms_norm": lambda x, y, t, b: F.rms_norm(x, [6], b),
    "F.kl_div": lambda x, y, t, b: F.kl_div(x, y, reduction="batchmean"),
    "F.linear": lambda x, y, t, b: F.linear(x, y, b[:4]),
}

INSPECTED: dict[str, Callable[[Any], Any]] = {
    "expr": lambda x: rt.inspect(rt.expr("x * y"), x, x),
    "fuse": lambda x: rt.inspect(rt.fuse(lambda x: x * 2), x),
    "value_and_grad": lambda x: rt.inspect(rt.value_and_grad(square), x),
    "func.grad": lambda x: rt.inspect(rt.func.grad(square), x),
    "register": lambda x: rt.inspect(swish_like, x, 2.0),
    "op": lambda x: rt.inspect(rt.softmax, x, 1),
    "max": lambda x: rt.inspect(rt.max, x),
}


def leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, (tuple, list, dict)):
        return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in leaves(part)]
    return [value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)]


@pytest.mark.parametrize("name", CALLS)
def test_the_same_values(name: str) -> None:
    results = {}
    for library, convert in LIBRARIES.items():
        results[library] = leaves(CALLS[name](*map(convert, (X, Y, T, B))))
    for library in ("torch", "own"):
        for got, want in zip(results[library], results["numpy"], strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", INSPECTED)
def test_everything_can_be_inspected(name: str, library: str) -> None:
    seen = INSPECTED[name](LIBRARIES[library](X))
    assert "kernel" in str(seen) and "<" in seen._repr_html_()
