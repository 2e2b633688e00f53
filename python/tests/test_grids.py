"""histogram, gradient, renorm, multinomial, pixel_shuffle, as_strided, products of integers and 16-bit floats, and
what NumPy's LAPACK computes, beside torch.
"""

from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import FLOATS, check, ours, same

torch.manual_seed(0)
X = torch.randn(4, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_histogram(dtype: torch.dtype) -> None:
    x = torch.randn(6, 50, dtype=dtype)
    w = torch.rand(6, 50, dtype=dtype)
    edges = torch.tensor([-1.0, -0.5, 0.25, 1.0], dtype=dtype)
    for bins, options in (
        (10, {}),
        (7, {"range": (-1.0, 1.0)}),
        (3, {"range": (2.0, 2.0)}),
        (5, {"weight": w}),
        (5, {"weight": w, "density": True}),
        (edges, {}),
        (edges, {"weight": w, "density": True}),
        (edges[:1], {}),
    ):
        check("histogram", x, bins, **options)
    check("histogram", torch.full((4,), 2.0, dtype=dtype), 3)
    check("histogram", torch.ones(0, dtype=dtype), 3)
    # Elements on the edges.
    check("histogram", torch.arange(8, dtype=dtype), 7)
    hist = ours(torch.empty(4, dtype=dtype))
    out = rt.histogram(ours(x), 4, out=(hist, ours(torch.empty(5, dtype=dtype))))
    assert out.hist is hist
    same(tuple(out), tuple(torch.histogram(x, 4)))


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((X.int(), 3), {}),
        ((X, 0), {}),
        ((X, 3), {"range": (1.0, 0.0)}),
        ((X, 3), {"range": (0.0, float("inf"))}),
        ((X, 3), {"range": (0.0,)}),
        ((X * float("nan"), 3), {}),
        ((X, 3), {"weight": torch.ones(3)}),
        ((X, 3), {"weight": X.double()}),
        ((X, torch.tensor([1, 2])), {}),
        ((X, torch.ones(2, 2)), {}),
        ((X, torch.ones(0)), {}),
    ],
)
def test_histogram_refuses(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    check("histogram", *args, **options)


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_gradient(dtype: torch.dtype, edge_order: int) -> None:
    x = (torch.randn(5, 4, 3, dtype=torch.float64) * 5).to(dtype)
    coordinates = tuple(torch.rand(n, dtype=torch.float64).cumsum(0).float() for n in x.shape)
    for options in (
        {},
        {"dim": 1},
        {"dim": (2, 0)},
        {"spacing": 0.5},
        {"spacing": 2},
        {"spacing": (1.0, 2.0, 0.25)},
        {"spacing": coordinates},
        {"spacing": (coordinates[1],), "dim": 1},
    ):
        got = rt.gradient(ours(x), edge_order=edge_order, **{k: ours(v) for k, v in options.items()})
        want = torch.gradient(x, edge_order=edge_order, **options)
        assert isinstance(got, tuple)
        for g, w in zip(got, want, strict=True):
            torch.testing.assert_close(torch.from_dlpack(g), w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"edge_order": 3},
        {"spacing": [1.0, 2.0, 3.0]},
        {"dim": 5},
        {"dim": (0, 0)},
        {"spacing": (torch.ones(2, 2), torch.ones(5))},
    ],
)
def test_gradient_refuses(options: dict[str, Any]) -> None:
    check("gradient", X, **options)
    check("gradient", X.bool())
    check("gradient", torch.ones(2), edge_order=2)
    check("gradient", torch.ones(1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_renorm(dtype: torch.dtype) -> None:
    x = (torch.randn(4, 3, 5) * 2).to(dtype)
    for p in (0.5, 1, 2, 3, float("inf")):
        for dim in (0, 1, -1):
            check("renorm", x, p, dim, 1.5)
    mine = ours(x)
    mine.renorm_(2, 0, 1)
    same(mine, torch.renorm(x, 2, 0, 1))
    for args in ((x, -1, 0, 1), (x, 2, 5, 1), (x[0, 0], 2, 0, 1), (x, 2, 0, -1), (x.int(), 2, 0, 1)):
        check("renorm", *args)


@pytest.mark.parametrize("make", [np.asarray, lambda a: rt.tensor(np.asarray(a))])
def test_multinomial(make: Any) -> None:
    weights = np.array([[0.0, 1.0, 2.0, 5.0], [3.0, 0.0, 0.0, 1.0]])
    rt.manual_seed(3)
    drawn = np.asarray(rt.multinomial(make(weights), 4000, True))
    assert drawn.shape == (2, 4000)
    assert drawn.dtype == np.int64
    for row, of in zip(weights, drawn, strict=True):
        share = np.bincount(of, minlength=4) / 4000
        np.testing.assert_allclose(share, row / row.sum(), atol=0.03)
        assert share[row == 0].sum() == 0
    # Without replacement, the first one is drawn as one alone is.
    many = np.asarray(rt.multinomial(make(np.tile(weights[0], (4000, 1))), 3))
    assert np.all(np.sort(many, axis=1) == [1, 2, 3])
    np.testing.assert_allclose(np.bincount(many[:, 0], minlength=4) / 4000, weights[0] / 8, atol=0.03)
    assert np.asarray(rt.multinomial(make(weights[0]), 2)).shape == (2,)
    rt.manual_seed(5)
    first = np.asarray(rt.multinomial(make(weights[0]), 9, True))
    rt.manual_seed(5)
    np.testing.assert_array_equal(first, np.asarray(rt.multinomial(make(weights[0]), 9, True)))


@pytest.mark.parametrize(
    "args",
    [
        (X.abs(), 0),
        (X.abs(), 6),
        (X.int().abs(), 1),
        (-X.abs(), 1),
        (X * 0, 1, True),
        (X * 0, 1),
        (torch.ones(2, 2, 2), 1),
        (torch.tensor(1.0), 1),
        (torch.tensor([1.0, float("nan")]), 1),
        (torch.tensor([1.0, float("inf")]), 1),
        (torch.ones(0), 1),
    ],
)
def test_multinomial_refuses(args: tuple[Any, ...]) -> None:
    check("multinomial", *args)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_pixels(dtype: torch.dtype) -> None:
    x = torch.arange(2 * 18 * 4 * 6).reshape(2, 18, 4, 6).to(dtype)
    for r in (1, 3):
        check("pixel_shuffle", x, r)
        check("pixel_shuffle", x[0], r)
    for r in (1, 2):
        check("pixel_unshuffle", x, r)
        check("pixel_unshuffle", x[None], r)
    for name, args in (
        ("pixel_shuffle", (x, 2)),
        ("pixel_shuffle", (x[0, 0], 2)),
        ("pixel_shuffle", (x, 0)),
        ("pixel_unshuffle", (x, 4)),
        ("pixel_unshuffle", (x, 3)),
        ("pixel_unshuffle", (x[0, 0], 2)),
        ("pixel_unshuffle", (x, -1)),
    ):
        check(name, *args)


def test_as_strided() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    for view in (x, x.T):
        check("as_strided", view, (2, 2), (1, 2))
        check("as_strided", view, (3,), (0,), 2)
        check("as_strided", view, (), ())
        check("as_strided", view, (0,), (1,))
    mine = ours(x)
    part = rt.as_strided(mine + 0, (2, 3), (4, 1), 1)
    same(part, torch.as_strided(x, (2, 3), (4, 1), 1))
    # It is a view.
    rt.as_strided(mine, (3,), (5,)).fill_(-1.0)
    want = x.clone()
    want.as_strided((3,), (5,)).fill_(-1)
    same(mine, want)
    array = x.numpy().copy()
    assert np.shares_memory(rt.as_strided(array, (2,), (1,)), array)
    for args in ((x, (3, 3), (8, 1)), (x, (2,), (1,), 11)):
        with pytest.raises(RuntimeError, match=r"setStorage: sizes .* are out of bounds for storage of size 48"):
            rt.as_strided(*ours(args))
    for args in ((x, (2,), (1, 2)), (x, (2,), (-1,)), (x, (-2,), (1,)), (x, (2,), (1,), -1)):
        check("as_strided", *args)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.float16, torch.bfloat16])
def test_matmul_of_other_dtypes(dtype: torch.dtype) -> None:
    shapes = [
        ((3, 4), (4, 2)),
        ((4,), (4,)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((2, 3, 4), (4,)),
        ((5, 1, 3, 4), (2, 4, 2)),
    ]
    for a, b in shapes:
        one, two = ((torch.randn(s) * 3).abs().to(dtype) for s in (a, b))
        check("matmul", one, two)
        same(ours(one) @ ours(two), one @ two)
        torch.testing.assert_close(rt.matmul(one, two), one @ two)
        if dtype != torch.bfloat16:
            np.testing.assert_allclose(rt.matmul(one.numpy(), two.numpy()), (one @ two).numpy(), rtol=2e-3)
    for one, two in (
        (torch.ones(2, 2), torch.ones(2, 2, dtype=dtype)),
        (torch.ones(2, 2, dtype=dtype), torch.ones(3, 3, dtype=dtype)),
        (torch.ones(2, 2, dtype=dtype), torch.ones(3, dtype=dtype)),
        (torch.ones(3, dtype=dtype), torch.ones(2, dtype=dtype)),
        (torch.tensor(1).to(dtype), torch.ones(3, dtype=dtype)),
        (torch.ones(2, 2, 2, dtype=dtype), torch.ones(2, 3, 2, dtype=dtype)),
        (torch.ones(2, 2).bool(), torch.ones(2, 2).bool()),
    ):
        check("matmul", one, two)
    out = rt.zeros(3, 2, dtype=rt.int64)
    one, two = torch.arange(12).reshape(3, 4), torch.arange(8).reshape(4, 2)
    assert rt.matmul(ours(one), ours(two), out=out) is out
    same(out, one @ two)
    array = np.zeros((3, 2), np.int64)
    assert rt.matmul(one.numpy(), two.numpy(), out=array) is array
    np.testing.assert_array_equal(array, (one @ two).numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_by_lapack(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 3, dtype=dtype)
    for n in (-1, -3):
        check("matrix_power", x, n)
    for dim, keepdim in (((0, 1), False), ((-1, 0), False), ((1, 2), True)):
        check("norm", x, "nuc", dim, keepdim)
    check("norm", x[0], "nuc")
    check("norm", x[0].float(), "nuc", dtype=torch.float64)
    for bad in ((x, "nuc"), (x[0, 0], "nuc"), (x, "nuc", 0), (x.int(), "nuc", (0, 1)), (x.half(), "nuc", (0, 1))):
        check("norm", *bad)
    check("matrix_power", x.half(), -1)
    check("matrix_power", x.int(), -1)
    with pytest.raises(RuntimeError, match=r"linalg.inv: .*the input matrix is singular"):
        rt.matrix_power(rt.zeros(2, 2), -1)


def test_einsum_of_lists() -> None:
    a, b = torch.randn(3, 4), torch.randn(2, 4, 5)
    for args in (
        (a, [0, 1], b, [2, 1, 3], [2, 0, 3]),
        (a, [0, 1]),
        (a, [30, 1], a, [30, 1], []),
        (b, [..., 1, 2], a, [0, 1]),
    ):
        same(rt.einsum(*map(ours, args)), torch.einsum(*args))
    np.testing.assert_allclose(rt.einsum(a.numpy(), [0, 1], [1, 0]), a.T.numpy())
    for args in ((a, [0, 52]), (a, [0, -1]), (a,)):
        with pytest.raises(ValueError, match=r"einsum\(\)") as theirs:
            torch.einsum(*args)
        with pytest.raises(ValueError, match=r"einsum\(\)") as error:
            rt.einsum(*map(ours, args))
        assert str(error.value) == str(theirs.value)


@pytest.mark.parametrize("name", ["cumsum", "sort", "cat"])
def test_what_is_no_kernel_is_not_traced(name: str) -> None:
    def by_function(x: Any) -> Any:
        return (getattr(rt, name)([x, x] if name == "cat" else x, *(() if name == "sort" else (0,)))).sum()

    said = rf"{name}\(\) is no kernel, so it cannot be part of a function that is fused or differentiated"
    for function in (rt.func.grad(by_function), rt.fuse(by_function), rt.value_and_grad(by_function)):
        with pytest.raises(rt.TraceError, match=said):
            function(np.ones(3))
    if name != "cat":
        with pytest.raises(rt.TraceError, match=said):
            rt.func.grad(lambda x: getattr(x, name)(0).sum())(np.ones(3))
        with pytest.raises(rt.TraceError, match=said):
            rt.func.grad(lambda x: getattr(np, name)(x).sum())(np.ones(3))
    with pytest.raises(rt.TraceError, match=said):
        rt.func.grad(lambda x: getattr(torch, name)([x, x] if name == "cat" else x, 0).sum())(torch.ones(3))
