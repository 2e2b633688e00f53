"""Views inside of traced functions: indexing, parts, shapes, devices; beside torch and NumPy, with gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch

X = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(0))

KEYS: list[Any] = [
    0,
    -1,
    np.int64(2),
    slice(1, 3),
    slice(None, None, 2),
    slice(1, None, 2),
    slice(None, None, 3),
    slice(0, 5, 4),
    slice(5, None, 7),
    slice(4, 2),
    slice(-2, None),
    slice(-100, 100),
    ...,
    (..., slice(0, 4)),
    (..., slice(4, None)),
    (..., slice(None, None, 2)),
    (slice(None), 0),
    (slice(None), slice(None, None, 2), slice(1, 8, 3)),
    # Five elements by a step of two are no groups.
    (slice(None), slice(None, None, 2)),
    (0, ..., 3),
    (None, slice(2)),
    (slice(None), None, 2),
    (..., None),
    (2, 1, 0),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_indexing(key: Any) -> None:
    assert torch.equal(rt.fuse(lambda x: x[key] * 2)(X), X[key] * 2)
    assert np.array_equal(rt.fuse(lambda x: x[key] * 2)(X.numpy()), X.numpy()[key] * 2)
    grad = rt.func.grad(lambda x: (x[key] * x[key]).sum())(X)
    wanted = X.clone().requires_grad_()
    (wanted[key] * wanted[key]).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(grad, wanted.grad)


@pytest.mark.parametrize(
    "key", [slice(None, None, -1), (slice(None, None, -2), slice(3, 0, -1)), (..., slice(2, 2, -1))]
)
def test_steps_back_are_numpys(key: Any) -> None:
    x = X.numpy()
    assert np.array_equal(rt.fuse(lambda x: x[key] * 2)(x), x[key] * 2)
    with pytest.raises(ValueError, match="slice step must be positive"):
        rt.fuse(lambda x: x[::-1])(X)


def test_other_shapes_are_traced_again() -> None:
    f = rt.fuse(lambda x: x[-1] + x[: x.shape[0] // 2].sum(0))
    for n in (2, 5, 8):
        x = torch.randn(n, 3)
        torch.testing.assert_close(f(x), x[-1] + x[: n // 2].sum(0))


def _halves(x: Any, c: Any, s: Any) -> Any:
    a, b = x.chunk(2, dim=-1)
    return a * c - b * s, b * c + a * s


def _interleaved(x: Any, c: Any, s: Any) -> Any:
    a, b = x[..., ::2], x[..., 1::2]
    return a * c - b * s, b * c + a * s


def _parts(x: Any, c: Any, s: Any) -> Any:
    a, b, d = torch.split(x, [2, 3, 3], dim=-1)
    e, f = torch.chunk(x, 2, 1)
    g = x.split(4, -1)
    return a.sum() + b.mean() * d.sum(), e.sum() - f.amax(), g[0] * c + g[1] * s, sum(t.cos() for t in x.unbind(1))


def _shapes(x: Any, c: Any, s: Any) -> Any:
    y = x.contiguous().view(6, -1).cpu()
    return y.sum(1), x[:, 0].expand(2, -1, -1) + 1, x.to(x.device) * 2, x.view(-1).view_as(x), c.expand_as(x), x.to(c)


@pytest.mark.parametrize("body", [_halves, _interleaved, _parts, _shapes])
def test_bodies(body: Callable[..., Any]) -> None:
    c, s = torch.randn(4), torch.randn(4)
    if body is _shapes:
        c = torch.randn(8)
    for got, want in zip(rt.fuse(body)(X, c, s), body(X, c, s), strict=True):
        assert got.shape == want.shape
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (lambda x: x[[0, 1]], rt.TraceError, "indexing by list cannot be fused"),
        (lambda x: x[x > 0], rt.TraceError, "indexing by Traced cannot be fused"),
        (lambda x: x[True], rt.TraceError, "indexing by bool cannot be fused"),
        (lambda x: x[6], IndexError, "index 6 is out of bounds for dimension 0 with size 6"),
        (lambda x: x[0, 0, 0, 0], IndexError, "too many indices for tensor of dimension 3"),
        (lambda x: x[..., ...], IndexError, "can only have a single ellipsis"),
        (lambda x: x[::0], ValueError, "slice step"),
        (lambda x: x.chunk(0), RuntimeError, "chunk expects `chunks` to be greater than 0"),
        (lambda x: x.split([1, 2]), RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 6"),
        (lambda x: x.unbind(3), IndexError, "Dimension out of range"),
        (lambda x: x.to("cuda:0"), rt.TraceError, "arrays are on the CPU"),
        (lambda x: x.view(torch.int32), rt.TraceError, "view\\(\\) as another dtype"),
    ],
)
def test_errors(body: Callable[..., Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rt.fuse(body)(X)


def logsumexp(x: Any) -> Any:
    most = x.amax(-1, keepdim=True).detach()
    return ((x - most).exp().sum(-1).log() + most.squeeze(-1)).sum() * torch.detach(x).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_detached_values_are_constants(dtype: torch.dtype) -> None:
    x = X.to(dtype)
    leaf = x.double().clone().requires_grad_()
    value = logsumexp(leaf)
    (expected,) = torch.autograd.grad(value, leaf)
    got_value, got = rt.value_and_grad(logsumexp)(x)
    rtol = 0.05 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(got_value.double(), value.detach(), rtol=rtol, atol=1e-5)
    torch.testing.assert_close(got.double(), expected, rtol=rtol, atol=1e-2 * rtol)
    # Through torch's own autograd too, where nothing flows back from what is detached.
    leaf = x.clone().requires_grad_()
    rt.fuse(lambda x: (x.detach() * x).sum())(leaf).backward()
    assert torch.equal(leaf.grad, x)


def test_detach_is_the_same_memory() -> None:
    x = X.clone().requires_grad_()
    y = rt.detach(x)
    assert y.data_ptr() == x.data_ptr() and not y.requires_grad
    a = np.arange(3.0)
    assert np.shares_memory(rt.detach(a), a)
    t = rt.zeros(3)
    rt.detach(t)[0] = 5
    assert t.tolist() == [5, 0, 0]
