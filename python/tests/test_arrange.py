"""Sorting, selecting, moving and comparing, as functions and methods, against torch."""

from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
DTYPES = [*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
SHAPES: list[tuple[int, ...]] = [(), (1,), (7,), (3, 5), (4, 1, 6), (2, 0, 3), (0,)]
NAN = float("nan")


def sample(dtype: torch.dtype, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64) * 3
    return x > 0 if dtype == torch.bool else x.abs().to(dtype) if dtype == torch.uint8 else x.to(dtype)


def ours(x: Any) -> Any:
    return rt.from_dlpack(x.clone()) if isinstance(x, torch.Tensor) else x


def same(got: Any, want: Any) -> None:
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w)
        if hasattr(want, "_fields"):
            assert got._fields == want._fields
    elif isinstance(want, torch.Tensor):
        assert isinstance(got, rt.Tensor)
        got = torch.from_dlpack(got)
        assert got.dtype == want.dtype
        # torch may round a sum of 16-bit floats once where we round it at every addition.
        rtol = {torch.float16: 1e-3, torch.bfloat16: 8e-3}.get(got.dtype, 1e-5)
        torch.testing.assert_close(got, want, rtol=rtol, atol=1e-6, equal_nan=True)
    else:
        assert type(got) is type(want)
        assert got == want


def check(name: str, *args: Any, **kwargs: Any) -> None:
    """The method, and the function where torch has one; an error is torch's."""
    mine = [ours(a) for a in args]
    try:
        want = getattr(args[0], name)(*args[1:], **kwargs)
    except Exception as error:
        with pytest.raises(type(error)) as got:
            getattr(mine[0], name)(*mine[1:], **kwargs)
        assert str(got.value).split("\n")[0] == str(error).split("\n")[0]
        return
    same(getattr(mine[0], name)(*mine[1:], **kwargs), want)
    if hasattr(torch, name):
        same(getattr(rt, name)(*mine, **kwargs), want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sorting(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        x = sample(dtype, shape)
        for dim in range(-max(len(shape), 1), max(len(shape), 1)):
            for descending in (False, True):
                # Without `stable` torch orders equal elements as it likes.
                check("sort", x, dim=dim, descending=descending, stable=True)
                check("argsort", x, dim=dim, descending=descending, stable=True)
    check("sort", sample(dtype, (40, 300)).t()[::2], dim=0, stable=True)
    check("sort", sample(dtype, (3,)), dim=1)


def test_order_of_special_values() -> None:
    for values in ([NAN, 1.0, -NAN, float("inf"), -float("inf")], [0.0, -0.0, 0.0, -1.0]):
        for dtype in FLOATS:
            for descending in (False, True):
                check("sort", torch.tensor(values, dtype=dtype), dim=0, descending=descending, stable=True)


def distinct(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    torch.manual_seed(1)
    n = int(np.prod(shape))
    return (torch.randperm(max(n, 1))[:n].reshape(shape) - (0 if dtype == torch.uint8 else n // 2)).to(dtype)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != torch.bool], ids=str)
def test_chosen_by_order(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        x = distinct(dtype, shape)
        for dim in range(-max(len(shape), 1), max(len(shape), 1)):
            for k in (-1, 0, 1, 2, 9):
                check("topk", x, k, dim=dim)
                check("topk", x, k, dim, False)
                check("kthvalue", x, k, dim=dim)
            check("kthvalue", x, 1, dim=dim, keepdim=True)
            check("median", x, dim)
            check("median", x, dim=dim, keepdim=True)
        if x.numel() or dtype.is_floating_point:
            check("median", x)
    check("median", torch.ones(3) > 0)


def test_median_of_nans() -> None:
    x = torch.tensor([[1.0, NAN, 0.5, NAN], [4.0, 3.0, 2.0, 1.0]])
    for dim in (0, 1):
        for keepdim in (False, True):
            check("median", x, dim=dim, keepdim=keepdim)
    check("median", x)
    check("median", x[1])
    check("median", torch.tensor(NAN))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_unique_and_nonzero(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        x = sample(dtype, shape)
        if dtype.is_floating_point:
            x = x.round()
        check("unique", x)
        check("unique", x, return_inverse=True)
        check("unique", x, return_inverse=True, return_counts=True)
        check("nonzero", x)
        check("nonzero", x, as_tuple=True)
    with pytest.raises(NotImplementedError, match="dim="):
        rt.unique(rt.ones(2), dim=0)


def test_selecting() -> None:
    x, mask = sample(torch.float32, (3, 5)), sample(torch.bool, (3, 5), 1)
    check("masked_select", x, mask)
    check("masked_select", x, mask[:1])
    check("masked_select", x[:, :1], mask)
    check("masked_select", x.t(), mask.t())
    check("masked_select", torch.tensor(2.0), torch.tensor(True))
    check("masked_select", x, x)
    check("masked_select", x, torch.ones(4, dtype=torch.bool))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scatter(dtype: torch.dtype) -> None:
    x, src = sample(dtype, (3, 5)), sample(dtype, (4, 5), 2)
    for dim, index in (
        (0, torch.tensor([[2, 0, 1, 1, 2]])),
        (1, torch.tensor([[4, 0], [1, 2]])),
        (-1, torch.zeros(0, 2)),
    ):
        index = index.long()
        check("scatter", x, dim, index, src)
        check("scatter", x, dim, index.int(), src)
        check("scatter", x, dim, index, 1)
        check("scatter_add", x, dim, index, src)
    check("scatter_add", x.t(), 1, torch.tensor([[0, 0, 2]] * 2), src.t())
    check("scatter_add", x[0, 0], 0, torch.tensor(0), src[0, 0])
    for dim in (0, 1, -1):
        source = sample(dtype, (4, 5) if dim == 0 else (3, 4), 3)
        check("index_add", x, dim, torch.tensor([1, 0, 1, 2]), source)
        check("index_add", x, dim, torch.tensor([1, 0, 1, 2]).int(), source)
        if dtype != torch.bool:
            check("index_add", x, dim, torch.tensor([1, 0, 1, 2]), source, alpha=3)
    check("index_add", x, 0, torch.zeros(0, dtype=torch.int64), x[:0])


def test_scatter_errors() -> None:
    x, one = torch.ones(3), torch.tensor([1])
    check("scatter", x, 0, torch.tensor([5]), 1.0)
    check("scatter", x, 0, torch.tensor([-1]), 1.0)
    check("scatter", x, 0, torch.tensor([1.0]), 1.0)
    check("scatter", torch.ones(3, 2), 0, one, 1.0)
    check("scatter", x, 0, torch.tensor([1, 1]), torch.ones(1))
    check("scatter", x, 0, one, torch.ones(1, dtype=torch.float64))
    check("scatter", torch.ones(3, 2), 0, torch.zeros(2, 3, dtype=torch.int64), 1.0)
    check("scatter", x, 1, one, 1.0)
    for name in ("scatter_add", "index_add"):
        check(name, x, 0, torch.tensor([5]), torch.ones(1))
        check(name, x, 0, torch.tensor([-1]), torch.ones(1))
        check(name, x, 0, torch.tensor([1.0]), torch.ones(1))
        check(name, torch.ones(3, 2), 0, one, torch.ones(1))
        check(name, torch.ones(3, 2), 0, one, torch.ones(1, 3))
        check(name, x, 0, torch.tensor([1, 1]), torch.ones(1))
        check(name, x, 0, one, torch.ones(1, dtype=torch.float64))
        check(name, x, 0, torch.tensor([[1]]), torch.ones(1))
        check(name, x, 2, one, torch.ones(1))
    y = rt.zeros(3)
    assert y.scatter_(0, rt.tensor([1]), 2.0) is y
    assert y.tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool, torch.bfloat16], ids=str)
def test_moving(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        x = sample(dtype, shape)
        for shifts in (0, 1, -2, 30):
            check("roll", x, shifts)
            for dim in range(-len(shape), len(shape)):
                check("roll", x, shifts, dim)
        check("repeat", x, 2, 1, 3)
        check("repeat", x, (2, 0, 1, 2))
        check("repeat", x, 2)
        check("tile", x, (2,))
        check("tile", x, (2, 1, 3, 1))
        check("flipud", x)
        check("fliplr", x)
        check("diag", x)
        for k in (-9, -1, 2):
            check("diag", x, k)
        check("trace", x)
    x = sample(dtype, (3, 4))
    check("roll", x, (1, 2), (0, 1))
    check("roll", x, (1, 2), (0,))
    check("roll", x, (1, 2))
    check("roll", x, ())
    check("roll", x, 1, 2)
    check("roll", torch.tensor(1), 1, 0)
    check("repeat", x, -1, 2)
    check("trace", x)


def test_comparing() -> None:
    x = torch.tensor([1.0, NAN, 3.0])
    y = x + 1e-7
    for a, b in ((x, x), (x[:1], x[:1]), (x, x[:2]), (x[:1], y[:1]), (x[:1].long(), x[:1])):
        check("equal", a, b)
        check("allclose", a, b)
        check("allclose", a, b, equal_nan=True)
    check("allclose", x[:1], y[:1] + 1, rtol=0.0, atol=2.0)
    assert rt.equal(np.arange(3), np.arange(3)) is True


def test_norms() -> None:
    x = sample(torch.float32, (3, 4))
    for p in ("fro", None, 1, 2, 3.5, float("inf"), 0):
        check("norm", x, p)
        check("norm", x, p, 1)
        check("norm", x, p, dim=(0, 1), keepdim=True)
    check("norm", x.long())
    check("norm", x, "x")
    with pytest.raises(NotImplementedError, match="nuc"):
        rt.norm(ours(x), "nuc")


def test_products() -> None:
    a, b, v = sample(torch.float32, (2, 3)), sample(torch.float32, (3, 4), 1), sample(torch.float32, (3,), 2)
    c, d = sample(torch.float32, (5, 2, 3)), sample(torch.float32, (5, 3, 4), 1)
    check("mm", a, b)
    check("mv", a, v)
    check("bmm", c, d)
    for name, x, y in (
        ("mm", a, v),
        ("mm", v, a),
        ("mm", a, a),
        ("mm", a, b.double()),
        ("bmm", c, b),
        ("bmm", a, d),
        ("bmm", c, c),
        ("bmm", c, d[:2]),
        ("mv", a, b),
        ("mv", a, v[:2]),
    ):
        check(name, x, y)


def test_kinds() -> None:
    n = np.array([3.0, 1.0, 2.0])
    result = rt.sort(n)
    assert isinstance(result.values, np.ndarray)
    np.testing.assert_array_equal(result.indices, np.argsort(n))
    assert isinstance(rt.median(n), np.float64)
    assert isinstance(rt.roll(rt.tensor(n), 1), rt.Tensor)
    t = torch.from_numpy(n)
    assert type(rt.topk(t, 2)) is torch.return_types.topk
    x = t.clone().requires_grad_()
    rt.roll(x, 1)[0].backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.0, 1.0]
    with pytest.raises(TypeError, match=r"sort\(\): argument 'input' \(position 1\) must be Tensor, not list"):
        rt.sort([1, 2])
    assert rt.tensor(n).half().dtype == rt.float16
    assert rt.tensor(n).type_as(rt.ones(1)).dtype == rt.float32
    assert rt.tensor(n).view_as(rt.ones(3, 1)).shape == (3, 1)
    assert not hasattr(rt, "repeat")
