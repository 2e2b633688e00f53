"""Sorting, selecting, moving and comparing, as functions and methods, against torch."""

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import DTYPES, FLOATS, NAN, SHAPES, check, ours, sample


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
    for dim in (0, 1):
        check("nanmedian", x, dim)
        check("nanmedian", x, dim, keepdim=True)
    check("nanmedian", x)
    check("nanmedian", torch.tensor([NAN, NAN]), 0)
    check("nanmedian", torch.ones(2, 0), 1)


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
        check("unique_consecutive", x)
        check("unique_consecutive", x, return_inverse=True, return_counts=True)
        check("argwhere", x)
        if dtype.is_floating_point:
            x = x.clamp(0, 1)
        for dim in range(-len(shape), len(shape)):
            for name in ("unique", "unique_consecutive"):
                check(name, x, dim=dim, return_inverse=True, return_counts=True)
    check("unique", torch.tensor([NAN, 1.0, NAN]))
    check("unique", torch.ones(2), dim=1)
    check("unique", torch.tensor(1.0), dim=0)


def test_long_lines() -> None:
    """Long enough to be sorted by digits, and shared out."""
    for x in (torch.randn(40_000), torch.randint(-(1 << 62), 1 << 62, (20_000,)), torch.randint(0, 9, (20_000,))):
        for y in (x, x.int(), x.double()):
            check("sort", y, dim=0, stable=True)
            check("sort", y, dim=0, descending=True, stable=True)
            check("unique", y, return_inverse=True, return_counts=True)
            check("median", y)
            np.testing.assert_array_equal(rt.kthvalue(ours(y), 77).values.numpy(), y.kthvalue(77).values.numpy())
            values = y.topk(100).values
            np.testing.assert_array_equal(rt.topk(ours(y), 100).values.numpy(), values.numpy())


def test_selecting() -> None:
    x, mask = sample(torch.float32, (3, 5)), sample(torch.bool, (3, 5), 1)
    check("masked_select", x, mask)
    check("masked_select", x, mask[:1])
    check("masked_select", x[:, :1], mask)
    check("masked_select", x.t(), mask.t())
    check("masked_select", torch.tensor(2.0), torch.tensor(True))
    check("masked_select", x, x)
    check("masked_select", x, torch.ones(4, dtype=torch.bool))


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
