"""Counting and describing elements, beside torch."""

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import DTYPES, FLOATS, NAN, SHAPES, check, sample

X, V = torch.arange(6.0).reshape(2, 3), torch.tensor([1.0, 2.0, 4.0])
COUNTS = torch.tensor([0, 3, 1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_counting(dtype: torch.dtype) -> None:
    x = sample(dtype, (9,))
    positive = x.abs() if dtype != torch.bool else x
    for minlength in (0, 3, 20):
        check("bincount", positive, minlength=minlength)
        check("bincount", positive, x if dtype != torch.bool else None, minlength)
    for shape in SHAPES:
        y = sample(dtype, shape)
        if dtype in FLOATS[:2]:
            check("histc", y, 5)
            check("histc", y, 3, -1, 2)
        if dtype not in FLOATS[2:]:
            check("isin", y, x)
            check("isin", y, x, invert=True)
            check("isin", y, x[:0])
            for dim in range(-len(shape), len(shape)):
                check("mode", y.round() if dtype.is_floating_point else y, dim)
        if dtype not in (torch.bool,):
            check("searchsorted", x.sort().values, y)
            check("searchsorted", x.sort().values, y, right=True)
            check("bucketize", y, x.sort().values, out_int32=True)


def test_bincount_and_histc_errors() -> None:
    check("bincount", COUNTS, weights=V)
    check("bincount", COUNTS, weights=COUNTS)
    check("bincount", -COUNTS)
    check("bincount", COUNTS[None])
    check("bincount", COUNTS, minlength=-1)
    check("bincount", COUNTS, weights=V[:2])
    check("histc", X, 0)
    check("histc", X, 4, 3, 1)
    check("histc", COUNTS, 4)
    check("histc", torch.tensor([NAN]), 4)
    check("histc", torch.tensor([1.0, 1.0]), 4)
    check("histc", X, 4, 0, float("inf"))
    check("histc", X, 4, 0, 10)


def test_searching() -> None:
    lines = X.clone()
    check("searchsorted", lines, torch.tensor([[1.0, 9.0], [3.0, 4.0]]))
    check("searchsorted", lines, torch.ones(3, 1))
    check("searchsorted", lines, 2.0)
    check("searchsorted", V, 2.0)
    check("searchsorted", V, X.long())
    check("searchsorted", V, X.t(), side="right")
    check("searchsorted", V, X, side="bad")
    check("searchsorted", V, X, side="left", right=True)
    check("searchsorted", V.flip(0), X, sorter=torch.tensor([2, 1, 0]))
    check("searchsorted", V, X, sorter=torch.tensor([0]))
    check("searchsorted", torch.tensor(1.0), X)
    check("searchsorted", V > 1, X > 0)
    check("searchsorted", torch.tensor([1.0, NAN]), torch.tensor([NAN, 0.0, float("inf")]))
    check("bucketize", X, X)
    check("bucketize", 2, V)
    check("isin", X, 1)
    check("isin", 1, X)
    check("isin", X, COUNTS)


@pytest.mark.parametrize("dtype", FLOATS[:2], ids=str)
def test_quantiles(dtype: torch.dtype) -> None:
    x = sample(dtype, (4, 5))
    holes = x.clone()
    holes[0, 1] = holes[2] = NAN
    for how in ("linear", "lower", "higher", "midpoint", "nearest"):
        for y in (x, holes):
            for name in ("quantile", "nanquantile"):
                for q in (0.3, 0, 1, torch.tensor([0.5, 0.1, 0.999], dtype=dtype), torch.tensor(0.7, dtype=dtype)):
                    check(name, y, q, interpolation=how)
                    for dim in (0, -1):
                        check(name, y, q, dim, interpolation=how)
                        check(name, y, q, dim, True, interpolation=how)
                    check(name, y, q, None, True)
    check("quantile", x[0, 0], 0.5)
    check("quantile", x, x[0, :0], 1)
    for name in ("quantile", "nanquantile"):
        check(name, x, 1.5)
        check(name, x.long(), 0.5)
        check(name, x, torch.tensor([0.5]).half())
        check(name, x, torch.tensor([1.5], dtype=dtype))
        check(name, x, 0.5, interpolation="bad")
        check(name, x[:0], 0.5)
        check(name, x, torch.tensor([[0.5]], dtype=dtype))
        check(name, x, 0.5, 2)


def test_covariances() -> None:
    x, f, a = sample(torch.float64, (3, 5)), torch.tensor([1, 2, 0, 3, 1]), torch.rand(5, dtype=torch.float64)
    for y in (x, x.float(), x.long(), x[0]):
        check("cov", y)
        check("cov", y, correction=0)
        check("cov", y, fweights=f)
        check("corrcoef", y)
    check("cov", x, aweights=a)
    check("cov", x, fweights=f, aweights=a, correction=2)
    check("cov", x[:, :1])
    check("cov", torch.ones(2, 2, 2))
    check("corrcoef", torch.ones(2, 2, 2))
    check("cov", x > 0)
    check("cov", x, fweights=a)
    check("cov", x, aweights=f)
    check("cov", x, fweights=f[:2])
    check("cov", x, fweights=-f)
    check("cov", x, fweights=f[None])


def test_integrals_and_moments() -> None:
    y, x = sample(torch.float64, (3, 4)), torch.tensor([0.0, 1.0, 4.0, 5.0], dtype=torch.float64)
    for name in ("trapezoid", "cumulative_trapezoid"):
        check(name, y)
        check(name, y, x)
        check(name, y, y + 1, dim=0)
        check(name, y, dx=0.5, dim=0)
        check(name, y.long())
        check(name, y, x[:2])
        check(name, y[0, 0])
    check("trapz", y, x)
    for name in ("std_mean", "var_mean"):
        check(name, y)
        check(name, y, 1)
        check(name, y, dim=(0, 1), keepdim=True, correction=0)
    for values in ([1, 2, 2, 3, 3], [1, 1, 1], [5]):
        check("mode", torch.tensor(values))
        check("mode", torch.tensor([values, values]), 1, keepdim=True)
    check("mode", X[:0], 0)
    check("mode", torch.tensor(2.0))


def test_kinds() -> None:
    n = np.array([3, 1, 1])
    np.testing.assert_array_equal(rt.bincount(n), np.bincount(n))
    assert isinstance(rt.quantile(n.astype(np.float64), 0.5), np.float64)
    np.testing.assert_allclose(rt.cov(X.double().numpy()), np.cov(X.double().numpy()))
    np.testing.assert_array_equal(rt.isin(n, np.array([1])), np.isin(n, [1]))
    x = V.clone().requires_grad_()
    rt.quantile(x, 0.5).backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 0.0]
