"""Scans along a dimension, and aminmax, against torch."""

import numpy as np
import pytest
import rusttorch as rt
import torch

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
DTYPES = [*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
NAMES = ["cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"]


def sample(dtype, shape):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64) * 1.5
    if dtype.is_floating_point:
        return x.to(dtype)
    return x > 0 if dtype == torch.bool else (x * 4).to(torch.int64).abs().to(dtype)


def same(ours, theirs):
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    tol = {torch.float64: 1e-13, torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}.get(theirs.dtype, 0)
    torch.testing.assert_close(ours, theirs, rtol=tol, atol=tol, equal_nan=True)


def both(name, x, dim, **keywords):
    ours, theirs = getattr(rt, name)(x, dim, **keywords), getattr(torch, name)(x, dim, **keywords)
    if name in ("cummax", "cummin"):
        assert type(ours) is type(theirs)
        same(ours.indices, theirs.indices)
        ours, theirs = ours.values, theirs.values
    same(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_as_torch(name, dtype):
    if name == "logcumsumexp" and not dtype.is_floating_point:
        with pytest.raises(NotImplementedError, match="logcumsumexp_out_cpu"):
            rt.logcumsumexp(sample(dtype, (3,)), 0)
        return
    for shape in ((), (1,), (7,), (3, 5), (4, 1, 6), (2, 0, 3), (0,)):
        x = sample(dtype, shape)
        for dim in range(-max(len(shape), 1), max(len(shape), 1)):
            both(name, x, dim)
    both(name, sample(dtype, (6, 9)).t()[::2], 0)
    both(name, sample(dtype, (300, 150)) if name != "cumprod" else sample(dtype, (3, 15000)).t().sign(), 1)


@pytest.mark.parametrize("name", NAMES)
def test_special_values(name):
    inf, nan = float("inf"), float("nan")
    for values in ([1.0, nan, 2.0, nan], [-inf, -inf, 1.0], [inf, -inf, 1.0], [0.0, -0.0, 0.0], [2.0, 2.0, 1.0, 1.0]):
        both(name, torch.tensor(values), 0)


def test_dtype_and_kinds():
    x = sample(torch.int32, (4, 5))
    both("cumsum", x, 0, dtype=torch.float32)
    both("cumsum", x * 50, 1, dtype=torch.int8)
    both("cumprod", x, 1, dtype=torch.float64)
    n = np.arange(6.0).reshape(2, 3)
    assert isinstance(rt.cumsum(n, axis=1), np.ndarray)
    np.testing.assert_array_equal(rt.cumsum(n, axis=1), np.cumsum(n, axis=1))
    ours = rt.cumsum(rt.as_tensor(n), 0)
    assert isinstance(ours, rt.Tensor) and ours.tolist() == np.cumsum(n, 0).tolist()


def test_threads_change_no_bit():
    x = torch.randn(64, 3000)
    with rt.num_threads(1):
        one = rt.cumsum(x, 1)
    with rt.num_threads(2):
        assert torch.equal(rt.cumsum(x, 1), one)


def test_errors():
    x = torch.ones(2, 3)
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"):
        rt.cumsum(x, 2)
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        rt.cumsum(3, 0)
    with pytest.raises(TypeError, match="dim"):
        rt.cumsum(x)


def test_aminmax():
    x = torch.randn(4, 5)
    for keywords in ({}, {"dim": 0}, {"dim": 1, "keepdim": True}):
        ours, theirs = rt.aminmax(x, **keywords), torch.aminmax(x, **keywords)
        assert type(ours) is type(theirs)
        assert torch.equal(ours.min, theirs.min) and torch.equal(ours.max, theirs.max)
    smallest, largest = rt.aminmax(x.numpy(), axis=0)
    assert isinstance(smallest, np.ndarray) and np.array_equal(largest, x.numpy().max(0))
    y = x.clone().requires_grad_()
    sum(rt.aminmax(y)).backward()
    z = x.clone().requires_grad_()
    sum(torch.aminmax(z)).backward()
    assert torch.equal(y.grad, z.grad)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["numpy", "torch", "ours"])
def test_out_and_methods(name, kind):
    x = sample(torch.float32, (3, 4))
    make = {"numpy": lambda t: t.numpy().copy(), "torch": torch.clone, "ours": lambda t: rt.tensor(t.numpy())}[kind]
    mine, want = make(x), getattr(torch, name)(x, 1)
    several = isinstance(want, tuple)
    wants = want if several else (want,)
    outs = tuple(make(torch.zeros_like(w)) for w in wants)
    got = getattr(rt, name)(mine, 1, out=outs if several else outs[0])
    for g, out, w in zip(got if several else (got,), outs, wants, strict=True):
        assert g is out
        same(torch.as_tensor(np.asarray(out)), w)
    if kind == "ours":
        results = getattr(mine, name)(1)
        for g, w in zip(results if several else (results,), wants, strict=True):
            same(torch.as_tensor(g.numpy()), w)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_torchs(name):
    x = sample(torch.float64, (3, 4)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    ours, theirs = getattr(rt, name)(x, 1), getattr(torch, name)(y, 1)
    first = (lambda r: r[0]) if isinstance(theirs, tuple) else (lambda r: r)
    weight = torch.arange(12.0).reshape(3, 4)
    (first(ours) * weight).sum().backward()
    (first(theirs) * weight).sum().backward()
    assert torch.equal(x.grad, y.grad)
